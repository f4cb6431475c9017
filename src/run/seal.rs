//! Carries out the steps that vouch for images.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::diagnostic::Problem;
use crate::oci::Descriptor;
use crate::plan::{Action, AttestStep, Plan, Step, StepIndex};
use crate::release::{self, Document, Publisher};
use crate::run::Request;
use crate::run::command::Unsuccessful;
use crate::run::image::{Known, Yielded, no_image, unless};
use crate::run::process::Halt;
use crate::run::teller::{Teller, Told};
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
    /// Of a run, by its name.
    pub(super) fn new(request: &Request, publisher: Arc<Publisher>, run: String) -> Self {
        Self {
            root: request.root.clone(),
            built: request.cache.images().clone(),
            publisher,
            run,
            started: request.host.now,
            since: Instant::now(),
        }
    }

    /// Carries out a step. What is given up half way is done the next time.
    pub(super) async fn act(
        &self,
        plan: &Plan,
        step: &Step,
        known: &Known,
        halt: &mut watch::Receiver<Halt>,
        teller: &Teller,
    ) -> Result<Yielded, Unsuccessful> {
        let image = |at: &StepIndex| known.get(at).ok_or_else(|| no_image(step));
        let done = match &step.action {
            Action::Sign(sign) => {
                let work = release::sign(sign, image(&sign.image)?, &self.built, &self.publisher);
                unless(halt, Box::pin(work)).await?
            }
            Action::Attest(attest) => {
                let work = self.attest(plan, attest, image(&attest.image)?);
                unless(halt, Box::pin(work)).await?
            }
            _ => return Err(no_image(step)),
        };
        let done = done.map_err(Unsuccessful::failed)?;
        // Where there was nothing to do, it was done before.
        let yielded = if done.is_empty() { Yielded::Again } else { Yielded::Nothing };
        for text in done {
            teller.tell(Told::Notice(text)).await;
        }
        Ok(yielded)
    }

    async fn attest(
        &self,
        plan: &Plan,
        step: &AttestStep,
        image: &Descriptor,
    ) -> Result<Vec<String>, Problem> {
        let finished = self.started.checked_add(self.since.elapsed()).unwrap_or(self.started);
        let invocation = Invocation { id: self.run.clone(), started: self.started, finished };
        let provenance =
            step.provenance.as_ref().map(|planned| provenance(plan, step.image, planned, &invocation));
        let read = |path| Document::read(&self.root, path);
        let document = step.sbom.as_ref().map(read).transpose()?;
        release::attest(step, (provenance, document), image, &self.built, &self.publisher).await
    }
}
