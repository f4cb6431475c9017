//! `hoist verify`: whether images are signed, and what is attested of them.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use crate::cli::arguments::Verify;
use crate::cli::place::{Places, until_signalled};
use crate::cli::session::Session;
use crate::config::{Image, Sign};
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::Scope;
use crate::oci::Digest;
use crate::release::{End, Publisher};
use crate::report::{Paint, wrap};
use crate::seal::{Form, Judged, PublicKey, Signer, Verification, verify as look};

/// The largest public key that is read, in bytes.
const MAX_KEY: u64 = 64 << 10;

/// A key that must have signed.
enum Key {
    /// Of the command line, with the name of its file.
    Public(String, PublicKey),
    /// Declared in the release file.
    Declared(String, Arc<Signer>),
}

impl Key {
    fn public(&self) -> &PublicKey {
        match self {
            Self::Public(_, key) => key,
            Self::Declared(_, signer) => signer.public(),
        }
    }

    /// Its name, as it was given.
    fn name(&self) -> &str {
        match self {
            Self::Public(name, _) | Self::Declared(name, _) => name,
        }
    }

    /// Its name in a sentence.
    fn shown(&self) -> String {
        format!("the key `{}` ({})", self.name(), self.public().fingerprint().short())
    }
}

pub(crate) fn verify(session: &mut Session, options: &Verify) -> Result<ExitCode, Problems> {
    let given = options.keys.iter().map(|file| read_key(session, file)).collect::<Result<Vec<_>, _>>()?;
    let places = Places::read(session)?;
    let publisher = places.publisher(session);
    let mut problems = Problems::new();
    for image in &options.images {
        let work = async {
            if places.declares(image) {
                return Err(not_published(image));
            }
            let end = places.end(session, image)?;
            let declared = match given.as_slice() {
                [] => declared_keys(&places, image, &end, &publisher).await?,
                _ => Vec::new(),
            };
            let keys: Vec<&Key> = given.iter().chain(&declared).collect();
            let repository = end.open_to_read(&publisher).await?;
            let found = end.find(&repository).await;
            let found = found.map_err(|problem| places.not_declared(image, problem))?;
            let public: Vec<_> = keys.iter().map(|key| key.public()).collect();
            let verification = look(&repository, &found.digest, &public).await?;
            tell(session, image, &found.digest, &keys, &verification).map_err(first)?;
            let refused =
                keys.iter().zip(0..).filter_map(|(key, at)| verification.refusal(image, at, &key.shown()));
            Ok::<Vec<Problem>, Problem>(refused.collect())
        };
        match until_signalled(work, "verifying was stopped") {
            Ok(refused) => problems.extend(refused),
            Err(problem) if problem.code == Code::Interrupted => return Err(problem.into()),
            Err(problem) => problems.push(problem),
        }
    }
    problems.once().or(ExitCode::SUCCESS)
}

/// What was built of an image of release.kdl is signed where it is pushed to.
fn not_published(image: &str) -> Problem {
    let title = format!("`{image}` is an image of release.kdl, which is signed where it is pushed to");
    Problem::new(Code::InvalidReference, title)
        .help(format!("name it there: `hoist verify HOST/REPOSITORY:TAG`; `hoist tags {image}` has its tags"))
}

/// The only one of some problems.
fn first(problems: Problems) -> Problem {
    let first = problems.into_iter().next();
    first.unwrap_or_else(|| Problem::new(Code::Unreadable, "standard output cannot be written"))
}

/// A public key in a file.
fn read_key(session: &Session, file: &str) -> Result<Key, Problem> {
    let path = session.host.directory.join(file);
    let refuse = |note: String| {
        Problem::new(Code::CommandLine, format!("`{file}` is no public key that can be used"))
            .note(note)
            .help("`--key cosign.pub`; `cosign public-key --key cosign.key` or `openssl pkey -pubout` prints it")
    };
    let size = path.metadata().map_err(|error| refuse(error.to_string()))?.len();
    if size > MAX_KEY {
        return Err(refuse(format!("it has {size} bytes")));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| refuse(error.to_string()))?;
    let key = PublicKey::read(&text).map_err(|why| refuse(why.to_string()))?;
    Ok(Key::Public(file.to_owned(), key))
}

/// The keys that the release file says an image is signed with: those of the images that
/// have its repository, or the only one that there is.
async fn declared_keys(
    places: &Places,
    text: &str,
    end: &End,
    publisher: &Publisher,
) -> Result<Vec<Key>, Problem> {
    let all: Vec<&Image> =
        places.known.iter().flat_map(|(loaded, _)| loaded.release.images.values()).collect();
    let signs = |images: Vec<&Image>| {
        let mut signs: Vec<Sign> = Vec::new();
        for sign in images.into_iter().flat_map(|image| &image.signs) {
            if !signs.iter().any(|known| known.key.value == sign.key.value) {
                signs.push(sign.clone());
            }
        }
        signs
    };
    let own = all.iter().copied().filter(|image| is_of(places, image, end)).collect::<Vec<_>>();
    let is_known = !own.is_empty();
    let signs = if is_known { signs(own) } else { signs(all) };
    if signs.is_empty() || (!is_known && signs.len() > 1) {
        let title = format!("it is not known which key `{text}` is to be signed with");
        let problem = Problem::new(Code::CommandLine, title).help("name the public key: `--key cosign.pub`");
        return Err(match signs.len() {
            0 => problem,
            _ => problem.note("release.kdl has several, and no image with this repository"),
        });
    }
    let mut keys = Vec::new();
    for sign in signs {
        let signer = publisher.keyring().signer(&sign).await.map_err(|problem| {
            problem.note("its public half verifies as well: `hoist verify --key cosign.pub …`")
        })?;
        keys.push(Key::Declared(sign.key.value.place(), signer));
    }
    Ok(keys)
}

/// Whether an image of the release file goes to the repository of a place.
fn is_of(places: &Places, image: &Image, end: &End) -> bool {
    let Some((loaded, facts)) = &places.known else { return false };
    let Ok(repository) = Scope::new(&loaded.release, facts).fill(&image.repository) else { return false };
    match end {
        End::Layout { path, .. } => path.ends_with(&repository),
        End::Registry { reference, .. } => {
            let path = reference.repository.path();
            path.strip_suffix(repository.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        }
    }
}

/// Says what was found.
fn tell(
    session: &Session,
    image: &str,
    digest: &Digest,
    keys: &[&Key],
    verification: &Verification,
) -> Result<(), Problems> {
    if session.global.json {
        let key = |(at, key): (usize, &&Key)| {
            json!({
                "key": key.name(),
                "fingerprint": key.public().fingerprint().to_string(),
                "forms": verification.forms(at).into_iter().map(Form::as_str).collect::<Vec<_>>(),
                "attested": verification.attested(at),
            })
        };
        let one = |judged: &Judged| {
            json!({
                "form": judged.form.as_str(),
                "digest": judged.digest.to_string(),
                "predicate_type": judged.predicate_type,
                "keys": judged.by,
                "flaw": judged.flaw,
            })
        };
        let value = json!({
            "image": image,
            "digest": digest.to_string(),
            "verified": (0..keys.len()).all(|at| !verification.forms(at).is_empty()),
            "keys": keys.iter().enumerate().map(key).collect::<Vec<_>>(),
            "signatures": verification.signatures.iter().map(one).collect::<Vec<_>>(),
            "attestations": verification.attestations.iter().map(one).collect::<Vec<_>>(),
        });
        return session.output(&format!("{value}\n"));
    }
    let look = session.output_look();
    // Whoever reads it line by line gets whole lines.
    let room = if session.host.output_is_terminal { look.width } else { usize::MAX };
    let within = |line: String| {
        let lines = wrap(&line, room.saturating_sub(4));
        lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n    ") + "\n"
    };
    let mut text = within(format!("{image}  {digest}"));
    for (key, at) in keys.iter().zip(0..) {
        let forms = verification.forms(at);
        if forms.is_empty() {
            let mark = look.paint(Paint::Bad, "not signed");
            text.extend(["  ", &within(format!("{mark} by {}", key.shown()))]);
            continue;
        }
        let how = |form: &Form| match form {
            Form::Tag => "in the list under a tag",
            Form::Bundle => "in a bundle",
        };
        let forms = forms.iter().map(how).collect::<Vec<_>>().join(", ");
        let mark = look.paint(Paint::Good, "signed");
        text.extend(["  ", &within(format!("{mark} by {}: {forms}", key.shown()))]);
        for kind in verification.attested(at) {
            text.extend(["  ", &within(format!("attested by it: {}", look.tame(kind)))]);
        }
    }
    session.output(&text)
}
