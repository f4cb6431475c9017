//! Runs the tests of an image while the run goes on.

use std::io::{self, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, watch};

use crate::engine::{self, Right};
use crate::oci::Descriptor;
use crate::plan::TestStep;
use crate::run::Stream;
use crate::run::command::Unsuccessful;
use crate::run::image::unless;
use crate::run::jobserver::Jobserver;
use crate::run::line::Written;
use crate::run::mask::Secrets;
use crate::run::place::Turn;
use crate::run::process::Halt;
use crate::run::teller::Teller;
use crate::run::worker::blocking;
use crate::store::Layout;

/// Pieces of output that nobody heard yet: more than this, and the tests wait.
const BACKLOG: usize = 16;

/// The tests of an image.
pub(super) struct Tests<'a> {
    pub(super) step: &'a TestStep,
    pub(super) image: &'a Descriptor,
    /// Where the image lies.
    pub(super) built: &'a Layout,
}

impl Tests<'_> {
    /// Runs the tests, and tells what they write. Beside the first, others run in places
    /// that nobody else wants.
    ///
    /// # Errors
    /// All tests and expectations that fail; or the step was asked to stop.
    pub(super) async fn run(
        &self,
        (jobserver, turn): (&Arc<Jobserver>, &Turn),
        secrets: &Arc<Secrets>,
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> Result<(), Unsuccessful> {
        let _token = unless(halt, jobserver.token_if_shared()).await?;
        let (sender, mut written) = mpsc::channel(BACKLOG);
        let halted = Arc::new(AtomicBool::new(false));
        let mut work = pin!(blocking({
            let (step, image, built) = (self.step.clone(), self.image.clone(), self.built.clone());
            let (jobserver, turn, halted) = (Arc::clone(jobserver), turn.clone(), Arc::clone(&halted));
            move || {
                let further = || {
                    let place = turn.spare()?;
                    let right: Right = Box::new((jobserver.spare()?, place));
                    Some(right)
                };
                engine::test(&step, &image, &built, &further, &mut Log(sender), &halted)
            }
        }));
        let mut output = Written::new(Stream::Stdout, Arc::clone(secrets));
        let result = loop {
            tokio::select! {
                Some(bytes) = written.recv() => {
                    output.space(0).extend_from_slice(&bytes);
                    teller.take(&mut output).await;
                }
                result = &mut work => break result,
                Ok(()) = halt.changed() => halted.store(true, Ordering::Relaxed),
            }
        };
        while let Ok(bytes) = written.try_recv() {
            output.space(0).extend_from_slice(&bytes);
            teller.take(&mut output).await;
        }
        teller.finish(&mut output).await;
        let stopped = halted.load(Ordering::Relaxed);
        result.map_err(|problems| if stopped { Unsuccessful::Halted } else { Unsuccessful::Failed(problems) })
    }
}

/// Hands what is written over to the run.
struct Log(mpsc::Sender<Vec<u8>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Nobody listens any more once the run was given up.
        let _given_up = self.0.blocking_send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
