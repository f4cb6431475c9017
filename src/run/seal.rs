//! Carries out the steps that vouch for images.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::cache::Trace;
use crate::diagnostic::Problem;
use crate::oci::{Descriptor, Digester};
use crate::plan::{Action, AttestStep, Plan, Step, StepIndex};
use crate::release::{self, Document, Publisher};
use crate::run::Request;
use crate::run::command::Unsuccessful;
use crate::run::image::{Known, Yielded, no_image, unless};
use crate::run::process::Halt;
use crate::run::teller::{Teller, Told};
use crate::seal::{Invocation, Keyed, provenance};
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
    /// With what steps were carried out, where that is to be stated.
    keyed: Option<Mutex<BTreeMap<StepIndex, Keyed>>>,
}

impl Seals {
    /// Of a run, by its name.
    pub(super) fn new(request: &Request, publisher: Arc<Publisher>, run: String) -> Self {
        let states = |step: &Step| match &step.action {
            Action::Attest(attest) => attest.provenance.is_some(),
            _ => false,
        };
        Self {
            keyed: request.plan.steps.iter().any(states).then(Mutex::default),
            root: request.root.clone(),
            built: request.cache.images().clone(),
            publisher,
            run,
            started: request.host.now,
            since: Instant::now(),
        }
    }

    /// Keeps in mind with what a step is carried out.
    pub(super) fn note(&self, step: StepIndex, trace: &Trace) {
        let Some(Ok(mut keyed)) = self.keyed.as_ref().map(Mutex::lock) else { return };
        let (mut list, mut files) = (Digester::new(), 0);
        for (path, digest) in trace.inputs() {
            files += 1;
            list.update(format!("{digest}  {path}\n").as_bytes());
        }
        let (inputs, _) = list.finish();
        keyed.insert(step, Keyed { key: trace.key().to_string(), files, inputs });
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
        let keyed = self.keyed.as_ref().and_then(|keyed| Some(keyed.lock().ok()?.clone()));
        let keyed = keyed.unwrap_or_default();
        let provenance = step
            .provenance
            .as_ref()
            .map(|planned| provenance(plan, step.image, planned, &keyed, &invocation));
        let read = |path| Document::read(&self.root, path);
        let document = step.sbom.as_ref().map(read).transpose()?;
        release::attest(step, (provenance, document), image, &self.built, &self.publisher).await
    }
}
