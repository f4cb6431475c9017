//! Carries out the steps that vouch for images.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use crate::diagnostic::Problem;
use crate::oci::Descriptor;
use crate::plan::{AttestStep, Plan, SignStep};
use crate::release::{self, Document, Publisher};
use crate::run::Request;
use crate::run::image::Yielded;
use crate::seal::{Invocation, provenance};
use crate::store::Layout;

/// What the steps of a run that vouch for images share.
pub(super) struct Seals {
    root: PathBuf,
    /// Where built images lie.
    built: Layout,
    publisher: Arc<Publisher>,
    /// The name of the run.
    run: String,
    started: Timestamp,
    since: Instant,
}

impl Seals {
    /// Of a run that is recorded in a directory.
    pub(super) fn new(request: &Request, publisher: Arc<Publisher>, record: &Path) -> Self {
        Self {
            root: request.root.clone(),
            built: request.cache.images().clone(),
            publisher,
            run: record.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            started: request.host.now,
            since: Instant::now(),
        }
    }

    pub(super) async fn sign(&self, step: &SignStep, image: &Descriptor) -> Result<Yielded, Problem> {
        Box::pin(release::sign(step, image, &self.built, &self.publisher)).await.map(yielded)
    }

    pub(super) async fn attest(
        &self,
        plan: &Plan,
        step: &AttestStep,
        image: &Descriptor,
    ) -> Result<Yielded, Problem> {
        let finished = self.started.checked_add(self.since.elapsed()).unwrap_or(self.started);
        let invocation = Invocation { id: self.run.clone(), started: self.started, finished };
        let provenance =
            step.provenance.as_ref().map(|planned| provenance(plan, step.image, planned, &invocation));
        let read = |path| Document::read(&self.root, path);
        let document = step.sbom.as_ref().map(read).transpose()?;
        let stated = (provenance, document);
        let attested = release::attest(step, stated, image, &self.built, &self.publisher);
        Box::pin(attested).await.map(yielded)
    }
}

fn yielded(changed: bool) -> Yielded {
    if changed { Yielded::Nothing } else { Yielded::Again }
}
