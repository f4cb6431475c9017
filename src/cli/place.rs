//! Places of images, as the command line names them.

use std::time::Duration;

use crate::cli::session::{Loaded, Session, runtime};
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::{Facts, Needs};
use crate::oci::{Digest, InvalidPlatform, Platform, Reference, RepositoryName, Tag};
use crate::plan::{RegistryPlan, registry_of};
use crate::release::{End, Publisher};
use crate::run::interrupts;

/// How long what writes files may take to notice that it is to stop.
const ENDING: Duration = Duration::from_secs(5);

/// What says how places are reached.
pub(crate) struct Places {
    /// The release file with what it asks of the world, if there is one.
    pub(crate) known: Option<(Loaded, Facts)>,
}

impl Places {
    /// Reads the release file, if there is one.
    pub(crate) fn read(session: &mut Session) -> Result<Self, Problems> {
        let loaded = match session.load() {
            Ok(loaded) => loaded,
            Err(problems) if problems.as_slice().iter().all(|one| one.code == Code::NoReleaseFile) => {
                return Ok(Self { known: None });
            }
            Err(problems) => return Err(problems),
        };
        let facts = session.gather(&loaded, &Needs::default(), &indexmap::IndexMap::new())?;
        Ok(Self { known: Some((loaded, facts)) })
    }

    /// What opens them.
    pub(crate) fn publisher(&self, session: &Session) -> Publisher {
        match &self.known {
            Some((loaded, facts)) => Publisher::new(loaded.project.root.clone(), facts.environment.clone()),
            None => Publisher::new(session.host.directory.clone(), session.host.environment.clone()),
        }
    }

    /// How the registry of a repository is reached.
    pub(crate) fn registry(&self, name: &RepositoryName) -> RegistryPlan {
        match &self.known {
            Some((loaded, facts)) => registry_of(&loaded.release, facts, name),
            None => RegistryPlan::plain(name),
        }
    }

    /// `oci:DIR[:TAG]`, `oci:DIR@DIGEST`, or a reference.
    pub(crate) fn end(&self, session: &Session, text: &str) -> Result<End, Problem> {
        let invalid = |why: String| {
            Problem::new(Code::InvalidReference, format!("`{text}` is not the name of an image"))
                .note(why)
                .help("`HOST/REPOSITORY[:TAG]`, `HOST/REPOSITORY@DIGEST`, or `oci:DIR[:TAG]`")
        };
        if let Some(place) = text.strip_prefix("oci:") {
            let (directory, name) = split_layout(session, place);
            if directory.is_empty() {
                return Err(invalid("the directory is missing".to_owned()));
            }
            let named = |name: &&str| name.parse::<Tag>().is_ok() || name.parse::<Digest>().is_ok();
            if let Some(wrong) = name.filter(|name| !named(name)) {
                return Err(invalid(format!("`{wrong}` is neither a tag nor a digest")));
            }
            let path = session.host.directory.join(directory);
            return Ok(End::Layout { path, name: name.map(ToOwned::to_owned) });
        }
        let reference = text.strip_prefix("docker://").unwrap_or(text).parse::<Reference>();
        let reference = reference.map_err(|why| invalid(why.to_string()))?;
        let registry = Box::new(self.registry(&reference.repository));
        Ok(End::Registry { reference, registry })
    }
}

/// `DIR`, `DIR:TAG`, or `DIR@DIGEST`: a directory may have a colon in its name.
fn split_layout<'a>(session: &Session, place: &'a str) -> (&'a str, Option<&'a str>) {
    let split = place.split_once('@').or_else(|| place.rsplit_once(':'));
    match split {
        Some((directory, name)) if !session.host.directory.join(place).is_dir() => (directory, Some(name)),
        _ => (place, None),
    }
}

/// A platform of the command line.
pub(crate) fn platform(text: &str) -> Result<Platform, Problem> {
    text.parse().map_err(|why: InvalidPlatform| {
        Problem::new(Code::InvalidPlatform, format!("`{text}` is not a platform")).help(why.to_string())
    })
}

/// What comes of some work, unless a signal asks for the end: then it is given up, and
/// what it staged is removed.
pub(crate) fn until_signalled<T, E: From<Problem>>(
    work: impl Future<Output = Result<T, E>>,
    stopped: &str,
) -> Result<T, E> {
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let mut signals = interrupts();
        tokio::select! {
            done = work => done,
            Some(_) = signals.recv() => Err(Problem::new(Code::Interrupted, stopped).into()),
        }
    });
    runtime.shutdown_timeout(ENDING);
    done
}
