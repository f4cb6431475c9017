//! Carries out the steps that vouch for images.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use crate::config::ProjectPath;
use crate::diagnostic::{Code, Problem, Spanned};
use crate::oci::Descriptor;
use crate::plan::{AttestStep, Plan, SignStep};
use crate::release::{self, Document, Publisher};
use crate::run::Request;
use crate::run::image::Yielded;
use crate::seal::{Invocation, provenance, recognise};
use crate::store::Layout;

/// The largest bill of materials that is attached, in bytes.
const MAX_SBOM: u64 = 32 << 20;

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
        release::sign(step, image, &self.built, &self.publisher).await.map(yielded)
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
        let document = step.sbom.as_ref().map(|path| self.document(path)).transpose()?;
        release::attest(step, (provenance, document), image, &self.built, &self.publisher).await.map(yielded)
    }

    /// A bill of materials, as it lies in the project now.
    fn document(&self, path: &Spanned<ProjectPath>) -> Result<Document, Problem> {
        let Spanned { value, span } = path;
        let refuse = |title: String, note: String| {
            Problem::new(Code::Sbom, title).label(*span, "attached by this").note(note)
        };
        let file = self.root.join(value.as_path());
        let unreadable = |why: String| refuse(format!("cannot read `{value}`"), why);
        let size = file.metadata().map_err(|error| unreadable(error.to_string()))?.len();
        if size > MAX_SBOM {
            return Err(unreadable(format!("it has {size} bytes, more than {MAX_SBOM}")));
        }
        let bytes = std::fs::read(&file).map_err(|error| unreadable(error.to_string()))?;
        let sbom = recognise(&bytes).map_err(|why| {
            let problem = refuse(format!("`{value}` is no bill of materials that is known"), why);
            problem.help(
                "CycloneDX or SPDX in JSON: `syft scan … -o cyclonedx-json`, `trivy … --format spdx-json`",
            )
        })?;
        let name = value.as_path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Document { sbom, bytes, name })
    }
}

fn yielded(changed: bool) -> Yielded {
    if changed { Yielded::Nothing } else { Yielded::Again }
}
