//! What was meant by the name of an image that is not there.

use std::time::Duration;

use crate::diagnostic::{Problem, nearest};
use crate::oci::{LATEST, Reference, list_tag};
use crate::release::shared::is_content_tag;
use crate::store::Registry;

/// How long a registry may take to list its repositories for a mere hint.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many tags are named of those that a repository has.
const SHOWN: usize = 8;

/// What to do about a repository that has no tags: the registry may have one that is
/// called nearly the same, if it says which it has.
pub async fn repository_meant(registry: &Registry) -> String {
    let asked = tokio::time::timeout(PATIENCE, registry.repositories()).await;
    let known = asked.ok().and_then(Result::ok).unwrap_or_default();
    let others = known.iter().map(String::as_str).filter(|path| *path != registry.name().path());
    match nearest(registry.name().path(), others) {
        Some(path) => format!("did you mean `{}/{path}`?", registry.name().host()),
        None => "nothing was pushed there, it is spelled otherwise, or one may not see it".to_owned(),
    }
}

/// What to do about a name that leads to no image in a repository; `None` where that does not
/// say which tags it has.
pub(super) async fn image_meant(registry: &Registry, name: &str) -> Option<String> {
    match registry.tags().await {
        Ok(tags) if tags.is_empty() => Some(repository_meant(registry).await),
        Ok(tags) => Some(tag_meant(&registry.name().to_string(), name, &tags)),
        Err(_) => None,
    }
}

/// Says of an image that is not there why `latest` was asked for, where nobody wrote that.
pub(super) fn explain_latest(reference: &Reference, problem: Problem) -> Problem {
    if !reference.is_bare() {
        return problem;
    }
    problem.note(format!("`{reference}` names no tag: `{LATEST}` is meant"))
}

/// What to do about a tag that leads to no image in a repository which has tags.
fn tag_meant(place: &str, tag: &str, tags: &[String]) -> String {
    if tags.iter().any(|listed| listed == tag) {
        return format!("`{place}` lists the tag, and has lost its image: release or copy it there again");
    }
    if let Some(meant) = nearest(tag, tags.iter().map(String::as_str)) {
        return format!("did you mean `{place}:{meant}`?");
    }
    // Those that hoist, and others, make for themselves are not what anybody types.
    let is_typed = |tag: &&String| !is_content_tag(tag) && list_tag(tag).is_none();
    let mut typed: Vec<_> = tags.iter().filter(is_typed).cloned().collect();
    typed.sort();
    if typed.is_empty() || typed.len() > SHOWN {
        return format!("`hoist inspect {place}` lists its tags");
    }
    format!("it has `{}`", typed.join("`, `"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_not_proposed() {
        let tags = ["1.0", "1.1"].map(str::to_owned);
        assert_eq!(tag_meant("r.io/web", "1.2", &tags), "did you mean `r.io/web:1.0`?");
        assert_eq!(tag_meant("r.io/web", "edge", &tags), "it has `1.0`, `1.1`");
        let many: Vec<_> = (0..20).map(|at| format!("{at}.0.0")).collect();
        assert_eq!(tag_meant("r.io/web", "edge", &many), "`hoist inspect r.io/web` lists its tags");
        let own = [format!("k-{}", "a0".repeat(20)), "1.0".to_owned()];
        assert_eq!(tag_meant("r.io/web", "edge", &own), "it has `1.0`");
        let lost = "`r.io/web` lists the tag, and has lost its image: release or copy it there again";
        assert_eq!(tag_meant("r.io/web", "1.1", &tags), lost);
    }
}
