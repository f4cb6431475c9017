//! Names of images in the engine of this machine.

use crate::diagnostic::{Code, Problem};
use crate::engine::builder::EngineError;
use crate::oci::Descriptor;
use crate::plan::IndexStep;
use crate::run::build::Builds;
use crate::run::command::Unsuccessful;
use crate::run::teller::{Teller, Told};

impl Builds {
    /// Gives an image its names in the engine of this machine, whoever made it: as it would
    /// be published, for the platform that the engine runs on, else for the first.
    ///
    /// Where there is no engine that keeps images, nothing is named, and that is told.
    ///
    /// # Errors
    /// The engine does not take the image; the layout cannot be read.
    pub(super) async fn name(
        &self,
        index: &IndexStep,
        manifests: &[Descriptor],
        teller: &Teller,
    ) -> Result<(), Unsuccessful> {
        let names: Vec<&str> = index.local.iter().map(|(name, _)| name.as_str()).collect();
        let said = names.join("`, `");
        let found = match &self.engines {
            Ok(engines) => engines.keeper().await,
            Err(problems) => return Err(Unsuccessful::Failed(problems.clone())),
        };
        let Some(engine) = found else {
            let why = format!("no engine of this machine keeps images: nothing is called `{said}`");
            teller.tell(Told::Notice(why)).await;
            return Ok(());
        };
        let native = index.platforms.iter().position(|(wanted, _)| engine.about().platform.serves(wanted));
        let Some(manifest) = manifests.get(native.unwrap_or_default()) else { return Ok(()) };
        let failed = |error| {
            Unsuccessful::failed(match error {
                EngineError::Local(problem) => *problem,
                other => {
                    let title = format!("the engine does not take the image as `{said}`");
                    let why = match other {
                        EngineError::Unserved(words) => words,
                        other => format!("{engine}: {other}"),
                    };
                    let problem = Problem::new(Code::BuildFailed, title).note(why);
                    index
                        .local
                        .iter()
                        .fold(problem, |problem, (_, span)| problem.label(*span, "named by this"))
                }
            })
        };
        engine.load(manifest, &names, &self.built).await.map_err(failed)?;
        teller.tell(Told::Notice(format!("{engine} has it as `{said}`"))).await;
        Ok(())
    }
}
