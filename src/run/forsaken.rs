//! Removing what a step made and no target declares any more.

use crate::cache::{OutputKind, Trace};
use crate::facts::Tracked;
use crate::plan::{Action, Declared, Effect, Step};
use crate::run::teller::{Teller, Told};
use crate::run::worker::{Worker, blocking, outputs};

/// So many paths are named.
const NAMED: usize = 3;

impl Worker {
    /// Before a step runs or is brought back: removes what its last run made, if that lies
    /// there as it was made, and neither a target declares it nor git tracks it. Wildcards
    /// of others would take it in for ever.
    pub(super) async fn remove_forsaken(&self, step: &Step, trace: &Trace, teller: &Teller) {
        // Where a part is planned, what is declared is what it was. What always runs leaves what
        // others put beside its outputs where it is, and does not know it from its own.
        let request = self.request();
        let is_cached = matches!(step.action, Action::Command(_)) && step.effect == Effect::Cacheable;
        if !is_cached || request.release.targets.is_empty() {
            return;
        }
        let forsaken = request.cache.forsaken(trace, outputs(step));
        if forsaken.is_empty() {
            return;
        }
        let (release, cache) = (request.release.clone(), request.cache.clone());
        let (root, environment) = (request.root.clone(), request.facts.environment.clone());
        let removed = blocking(move || {
            let Ok(tracked) = Tracked::read(&root, &environment) else { return Vec::new() };
            let declared = Declared::of(&release);
            let gone = forsaken.into_iter().filter(|output| {
                let path = output.path.as_path();
                let is_directory = matches!(output.kind, OutputKind::Directory { .. });
                !declared.has(path) && (is_directory || !tracked.has(path)) && cache.remove_forsaken(output)
            });
            let files = gone.filter(|output| !matches!(output.kind, OutputKind::Directory { .. }));
            files.map(|output| format!("`{}`", output.path)).collect::<Vec<_>>()
        });
        let mut removed = removed.await;
        removed.reverse();
        if removed.is_empty() {
            return;
        }
        let more = removed.len().saturating_sub(NAMED);
        removed.truncate(NAMED);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let text =
            format!("removed what it made and no target declares any more: {}{more}", removed.join(", "));
        teller.tell(Told::Notice(text)).await;
    }
}
