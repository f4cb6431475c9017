//! Places of images, as the command line names them.

use std::time::Duration;

use crate::cli::run::ci;
use crate::cli::session::{Loaded, Session, runtime};
use crate::config::{Consulted, Release};
use crate::diagnostic::{Code, Problem, Problems, counted};
use crate::facts::{Environment, Facts, Needs};
use crate::oci::{Digest, InvalidDigest, InvalidPlatform, Platform, Reference, RepositoryName, Tag};
use crate::plan::{RegistryPlan, StepId, Verb, registry_of};
use crate::release::{End, Publisher};
use crate::report::Gauge;
use crate::run::interrupts;

/// How long what writes files may take to notice that it is to stop.
const ENDING: Duration = Duration::from_secs(5);

/// Architectures that images are made for.
const ARCHITECTURES: [&str; 7] = ["386", "amd64", "arm", "arm64", "ppc64le", "riscv64", "s390x"];

/// What says how places are reached.
pub(crate) struct Places {
    /// The release file with what it asks of the world, if there is one.
    pub(crate) known: Option<(Loaded, Facts)>,
}

impl Places {
    /// Reads the release file, if there is one, and of git what tells where images go.
    pub(crate) fn read(session: &mut Session) -> Result<Self, Problems> {
        Self::read_needing(session, |release| Needs {
            commit_only: Consulted::of_places(release).commit_only(),
            ..Needs::default()
        })
    }

    /// As [`read`](Self::read), with all that git says.
    pub(crate) fn read_with_git(session: &mut Session) -> Result<Self, Problems> {
        Self::read_needing(session, |_| Needs::default())
    }

    fn read_needing(session: &mut Session, needs: fn(&Release) -> Needs) -> Result<Self, Problems> {
        let loaded = match session.load() {
            Ok(loaded) => loaded,
            Err(problems) if problems.as_slice().iter().all(|one| one.code == Code::NoReleaseFile) => {
                return Ok(Self { known: None });
            }
            Err(problems) => return Err(problems),
        };
        let facts = session.gather(&loaded, &needs(&loaded.release), &indexmap::IndexMap::new())?;
        Ok(Self { known: Some((loaded, facts)) })
    }

    /// As [`read`](Self::read), for places that say themselves where they are. A release
    /// file that is wrong, which names of its images would need, is then only told.
    pub(crate) fn read_for(session: &mut Session, texts: &[&str]) -> Result<Self, Problems> {
        let problems = match Self::read(session) {
            Err(problems) if texts.iter().all(|text| text.contains(['/', ':', '@', '.'])) => problems,
            places => return places,
        };
        let wrong = counted(problems.as_slice().len(), "problem");
        if !session.global.json {
            session.say(&format!(
                "The release file is left aside, for it has {wrong}: `hoist check` shows them.\n"
            ));
        }
        Ok(Self { known: None })
    }

    /// The environment, with what the `dotenv` of the release file adds.
    pub(crate) fn environment(&self, session: &Session) -> Environment {
        self.known
            .as_ref()
            .map_or_else(|| session.host.environment.clone(), |(_, facts)| facts.environment.clone())
    }

    /// What opens them.
    pub(crate) fn publisher(&self, session: &Session) -> Publisher {
        let root = self.known.as_ref().map_or(&session.host.directory, |(loaded, _)| &loaded.project.root);
        Publisher::new(root.clone(), self.environment(session))
    }

    /// How the registry of a repository is reached.
    pub(crate) fn registry(&self, name: &RepositoryName) -> RegistryPlan {
        match &self.known {
            Some((loaded, facts)) => registry_of(&loaded.release, facts, name),
            None => RegistryPlan::plain(name),
        }
    }

    /// Whether release.kdl declares an image of this name.
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.known.as_ref().is_some_and(|(loaded, _)| loaded.release.images.contains_key(name))
    }

    /// What is read from: as [`end`](Self::end), or the name of an image of release.kdl
    /// for what was built of it last.
    pub(crate) fn source(&self, session: &Session, text: &str) -> Result<End, Problem> {
        if self.declares(text) {
            return self.built(session, text);
        }
        let head = text.split(['@', ':']).next().unwrap_or(text);
        if self.declares(head) {
            let title = format!("`{head}` is an image of release.kdl, which has no tags here");
            let help =
                format!("`{head}` alone is what was built last; name its repository for what was published");
            return Err(Problem::new(Code::InvalidReference, title).help(help));
        }
        self.end(session, text)
    }

    /// Adds to a problem of an image named by one word that it was taken for one of Docker
    /// Hub, where release.kdl has images of other names.
    pub(crate) fn not_declared(&self, text: &str, problem: Problem) -> Problem {
        let images = self.known.iter().flat_map(|(loaded, _)| loaded.release.images.keys());
        let images: Vec<_> = images.map(|known| format!("`{known}`")).collect();
        if images.is_empty() || text.contains('/') || text.starts_with("oci:") || self.declares(text) {
            return problem;
        }
        problem.note(format!(
            "`{text}` was taken for an image of Docker Hub; release.kdl declares {}",
            images.join(", ")
        ))
    }

    /// The image of the file as it was built last, by its digest in the cache.
    pub(crate) fn built(&self, session: &Session, name: &str) -> Result<End, Problem> {
        let known = self.known.as_ref().filter(|(loaded, _)| loaded.release.images.contains_key(name));
        let Some((loaded, _)) = known else {
            let images = self.known.iter().flat_map(|(loaded, _)| loaded.release.images.keys());
            let images = images.map(|known| format!("`{known}`, ")).collect::<Vec<_>>().concat();
            let help = match meant(session, name) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("name {images}a repository as `HOST/{name}`, or a layout as `oci:DIR:TAG`"),
            };
            return Err(Problem::new(Code::UnknownTarget, format!("there is no image `{name}`")).help(help));
        };
        let cache = session.cache(&loaded.release, &loaded.project)?;
        let last = cache.last(&StepId::of(name, Verb::Index, None)).and_then(|last| last.record.image);
        let image = last.ok_or_else(|| {
            let problem = Problem::new(Code::NoRecord, format!("`{name}` has not been built here yet"));
            problem.help(format!("build it with `hoist run {name}`"))
        })?;
        Ok(End::Layout { path: cache.images().path().to_owned(), name: Some(image.digest.to_string()) })
    }

    /// `oci:DIR[:TAG]`, `oci:DIR@DIGEST`, or a reference.
    pub(crate) fn end(&self, session: &Session, text: &str) -> Result<End, Problem> {
        let invalid = |why: String| {
            let problem =
                Problem::new(Code::InvalidReference, format!("`{text}` is not the name of an image"));
            let forms = || "`HOST/REPOSITORY[:TAG]`, `HOST/REPOSITORY@DIGEST`, or `oci:DIR[:TAG]`".to_owned();
            let meant = meant(session, text).map(|meant| format!("did you mean `{meant}`?"));
            problem.note(why).help(meant.unwrap_or_else(forms))
        };
        if text.strip_prefix("oci://").is_some_and(names_a_host) {
            return Err(invalid(
                "`oci:` names a directory; images of registries have nothing before the host".to_owned(),
            ));
        }
        if let Some(place) = text.strip_prefix("oci:") {
            let (directory, name) = split_layout(session, place);
            if directory.is_empty() {
                return Err(invalid("the directory is missing".to_owned()));
            }
            let wrong = |name: &str| match (name.parse::<Tag>(), name.parse::<Digest>()) {
                (Ok(_), _) | (_, Ok(_)) => None,
                _ if name.is_empty() => Some("the tag is missing".to_owned()),
                (_, Err(why @ InvalidDigest::Algorithm(_))) if place.contains('@') => Some(why.to_string()),
                _ => Some(format!("`{name}` is neither a tag nor a digest")),
            };
            if let Some(wrong) = name.and_then(wrong) {
                return Err(invalid(wrong));
            }
            let path = session.host.directory.join(directory);
            if path.is_file() {
                let title = format!("`{directory}` is a file, and not the directory of an OCI image layout");
                let help =
                    format!("`skopeo copy oci-archive:{directory} oci:DIR:TAG` makes one of an archive");
                return Err(Problem::new(Code::InvalidReference, title).help(help));
            }
            return Ok(End::Layout { path, name: name.map(ToOwned::to_owned) });
        }
        let reference = text.strip_prefix("docker://").unwrap_or(text).parse::<Reference>();
        let reference = reference.map_err(|why| invalid(why.to_string()))?;
        let registry = Box::new(self.registry(&reference.repository));
        Ok(End::Registry { reference, registry })
    }
}

/// What was meant by a text that names an image in the way of another tool.
fn meant(session: &Session, text: &str) -> Option<String> {
    if session.host.directory.join(text).join("oci-layout").is_file() {
        return Some(format!("oci:{text}"));
    }
    if let Some(layout) = text.strip_prefix("oci-layout://") {
        return Some(format!("oci:{layout}"));
    }
    let rest = ["https://", "http://", "oci://"].iter().find_map(|scheme| text.strip_prefix(scheme))?;
    rest.parse::<Reference>().is_ok().then(|| rest.to_owned())
}

/// Whether a text begins with a host, and not with a directory.
fn names_a_host(text: &str) -> bool {
    text.split_once('/').is_some_and(|(first, _)| first.contains(['.', ':']) && !first.starts_with('.'))
}

/// `DIR`, `DIR:TAG`, or `DIR@DIGEST`: a directory may have a colon in its name.
fn split_layout<'a>(session: &Session, place: &'a str) -> (&'a str, Option<&'a str>) {
    let split = place.split_once('@').or_else(|| place.rsplit_once(':'));
    match split {
        Some((directory, name)) if !session.host.directory.join(place).is_dir() => (directory, Some(name)),
        _ => (place, None),
    }
}

/// A line that says how far a copy has come, where somebody watches.
pub(crate) fn gauge(session: &Session) -> Option<Gauge> {
    let dumb = session.host.environment.text("TERM").is_none_or(|term| term == "dumb");
    let quiet = session.global.quiet || session.global.json;
    let watched = session.host.error_is_terminal && !dumb && !quiet && !ci(session);
    watched.then(|| Gauge::new(session.status_look()))
}

/// A platform of the command line.
pub(crate) fn platform(text: &str) -> Result<Platform, Problem> {
    text.parse().map_err(|why: InvalidPlatform| {
        // Other tools take an architecture for one.
        let known = format!("linux/{text}").parse::<Platform>().ok();
        let known = known.filter(|platform| ARCHITECTURES.contains(&platform.architecture.as_str()));
        let meant = known.map(|platform| format!("did you mean `{platform}`?"));
        let problem = Problem::new(Code::InvalidPlatform, format!("`{text}` is not a platform"));
        problem.help(meant.unwrap_or_else(|| why.to_string()))
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
