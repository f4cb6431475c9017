//! The keys that images are signed with.

use crate::cli::doctor::{good, missing};
use crate::cli::place::Places;
use crate::config::Sign;
use crate::plan::{Action, Plan};
use crate::release::Publisher;
use crate::report::Check;

/// Opens each key, as a release does before it begins.
pub(super) async fn keys(places: &Places, plan: Option<&Plan>, publisher: &Publisher) -> Vec<Check> {
    let images = places.known.iter().flat_map(|(loaded, _)| loaded.release.images.values());
    let mut signs: Vec<&Sign> = Vec::new();
    for sign in images.flat_map(|image| &image.signs) {
        if !signs.iter().any(|known| known.key.value == sign.key.value) {
            signs.push(sign);
        }
    }
    let mut checks = Vec::new();
    for sign in signs {
        let name = format!("key {}", sign.key.value.place());
        let is_used = |action: &Action| matches!(action, Action::Sign(step) if step.keys.contains(sign));
        let is_needed = plan.is_some_and(|plan| plan.steps.iter().any(|step| is_used(&step.action)));
        checks.push(match publisher.keyring().signer(sign).await {
            Ok(signer) => good(&name, format!("P-256, {}", signer.public().fingerprint())),
            Err(problem) => {
                let why = problem.labels.first().map(|label| label.text.as_str()).unwrap_or_default();
                let found = match problem.title.as_str() {
                    "the signing key cannot be used" => why.to_owned(),
                    title => title.to_owned(),
                };
                missing(
                    &name,
                    is_needed,
                    found,
                    problem.help.as_deref().unwrap_or("images are signed with it"),
                )
            }
        });
    }
    checks
}
