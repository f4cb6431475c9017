//! Registries that answer from copies which are behind.

use std::time::Duration;

use crate::diagnostic::Problem;
use crate::oci::Digest;
use crate::store::Repository;

/// How long a tag is read until it shows what was just put there.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long is waited before it is read again the first time; then twice as long, up to
/// [`LONGEST`].
const FIRST: Duration = Duration::from_millis(200);
/// See [`FIRST`].
const LONGEST: Duration = Duration::from_secs(2);

/// What a tag shows that was just set: as soon as that is neither nothing nor what it
/// held before, or when patience ends.
///
/// # Errors
/// The place cannot be read.
pub(super) async fn read_back(
    repository: &Repository,
    tag: &str,
    (from, to): (Option<Digest>, Digest),
    patience: Duration,
) -> Result<Option<Digest>, Problem> {
    let (mut wait, mut waited) = (FIRST, Duration::ZERO);
    loop {
        let found = repository.resolve(tag).await?.map(|found| found.digest);
        let is_old = found.is_none() || found == from;
        if found == Some(to) || !is_old || waited >= patience {
            return Ok(found);
        }
        tokio::time::sleep(wait).await;
        waited += wait;
        wait = (wait * 2).min(LONGEST);
    }
}
