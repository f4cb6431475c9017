//! Attaching what was put down of an entrance to the images that entered.

use tokio::sync::watch;

use crate::diagnostic::{Code, Problem};
use crate::facts::short;
use crate::plan::{Plan, RecordStep};
use crate::release::attach_entry;
use crate::run::command::Unsuccessful;
use crate::run::enter::pushes;
use crate::run::image::{Images, Known, Yielded, unless};
use crate::run::process::Halt;
use crate::run::teller::{Teller, Told};

impl Images {
    /// Attaches the entry by which a stage runs its images to each of them, wherever this run
    /// brought it.
    pub(super) async fn record(
        &self,
        plan: &Plan,
        step: &RecordStep,
        known: &Known,
        halt: &mut watch::Receiver<Halt>,
        teller: &Teller,
    ) -> Result<Yielded, Unsuccessful> {
        let running = self.entrance.as_ref().map(|entrance| entrance.runs(&step.stage)).transpose();
        let running = running.map_err(Unsuccessful::failed)?.flatten();
        let images = || step.images.iter().filter_map(|image| Some((*image, known.get(image)?)));
        let Some((id, entry)) = running.and_then(|running| Some((running.id?, running.entry))) else {
            let title = format!("the ledger does not say that `{}` runs something", step.stage);
            return Err(Unsuccessful::failed(Problem::new(Code::Ledger, title)));
        };
        let has = |digest| entry.images.iter().any(|image| image.digest == digest);
        if !images().all(|(_, image)| has(image.digest)) {
            let notice = format!("`{}` runs something else by now, which says so itself", step.stage);
            teller.tell(Told::Notice(notice)).await;
            return Ok(Yielded::Again);
        }
        let mut attached = 0;
        for (at, image) in images() {
            for push in pushes(plan, at) {
                let attach = attach_entry(&self.publisher, &push.registry, image, (&id, &entry));
                let is_new = Box::pin(unless(halt, attach)).await?.map_err(Unsuccessful::failed)?;
                attached += usize::from(is_new);
            }
        }
        if attached == 0 {
            return Ok(Yielded::Again);
        }
        let notice = format!("entry {} of the ledger is attached to its images", short(&id));
        teller.tell(Told::Notice(notice)).await;
        Ok(Yielded::Nothing)
    }
}
