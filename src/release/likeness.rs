//! What was meant by the name of an image that is not there.

use std::time::Duration;

use crate::diagnostic::nearest;
use crate::store::Registry;

/// How long a registry may take to list its repositories for a mere hint.
const PATIENCE: Duration = Duration::from_secs(5);

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

/// What to do about a tag that leads to no image in a repository which has tags.
pub(super) fn tag_meant(place: &str, tag: &str, tags: &[String]) -> String {
    if tags.iter().any(|listed| listed == tag) {
        return format!("`{place}` lists the tag, and has lost its image: release or copy it there again");
    }
    match nearest(tag, tags.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{place}:{meant}`?"),
        None => format!("`hoist inspect {place}` lists its tags"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_not_proposed() {
        let tags = ["1.0", "1.1"].map(str::to_owned);
        assert_eq!(tag_meant("r.io/web", "1.2", &tags), "did you mean `r.io/web:1.0`?");
        assert_eq!(tag_meant("r.io/web", "edge", &tags), "`hoist inspect r.io/web` lists its tags");
        let lost = "`r.io/web` lists the tag, and has lost its image: release or copy it there again";
        assert_eq!(tag_meant("r.io/web", "1.1", &tags), lost);
    }
}
