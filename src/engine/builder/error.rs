//! What goes wrong between hoist and an engine.

use std::error::Error;
use std::fmt;
use std::io;

use bollard_buildkit_proto::google;
use prost::Message as _;
use serde::Deserialize;

use crate::dockerfile::Spot;

/// Why an engine did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// Nothing answers at its address.
    Unreachable(String),
    /// It may not be used by this user.
    Denied(String),
    /// It answered, and with an error: its words.
    Refused(String),
    /// The connection broke, or what came is no answer.
    Broken(String),
    /// The build failed.
    Failed {
        /// The engine's last word.
        words: String,
        /// The instruction that failed, if the engine tells which.
        spot: Option<Spot>,
    },
    /// hoist itself could not give it what it asked for, or take what it gave.
    Unserved(String),
    /// A layout here cannot be read or written.
    Local(Box<crate::diagnostic::Problem>),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) | Self::Denied(why) | Self::Broken(why) | Self::Unserved(why) => {
                f.write_str(why)
            }
            Self::Refused(words) | Self::Failed { words, .. } => f.write_str(words),
            Self::Local(problem) => f.write_str(&problem.title),
        }
    }
}

impl Error for EngineError {}

impl EngineError {
    /// What connecting failed with.
    pub(super) fn connecting(error: &(dyn Error + 'static)) -> Self {
        // What lies above it says no more than that a connection was to be opened.
        let mut root = error;
        while let Some(below) = root.source() {
            root = below;
        }
        let text = root.to_string();
        match cause(error) {
            Some(io::ErrorKind::PermissionDenied) => Self::Denied(text),
            _ => Self::Unreachable(text),
        }
    }
}

impl From<crate::diagnostic::Problem> for EngineError {
    fn from(problem: crate::diagnostic::Problem) -> Self {
        Self::Local(Box::new(problem))
    }
}

impl From<io::Error> for EngineError {
    fn from(error: io::Error) -> Self {
        Self::Broken(chain(&error))
    }
}

impl From<bollard::errors::Error> for EngineError {
    fn from(error: bollard::errors::Error) -> Self {
        use bollard::errors::Error as Bollard;
        match error {
            Bollard::DockerResponseServerError { message, .. } => Self::Refused(message),
            Bollard::DockerStreamError { error } => Self::Refused(error),
            other if is_connecting(&other) => Self::connecting(&other),
            other => Self::Broken(chain(&other)),
        }
    }
}

impl From<tonic::Status> for EngineError {
    fn from(status: tonic::Status) -> Self {
        match status.code() {
            tonic::Code::Unavailable | tonic::Code::Cancelled => Self::Broken(status.message().to_owned()),
            _ => {
                let spot = spot(&status).or_else(|| Spot::in_words(status.message()));
                Self::Failed { words: status.message().to_owned(), spot }
            }
        }
    }
}

/// The kind of the detail of an error by which BuildKit tells what it is about
/// (`moby/buildkit/solver/errdefs`); its content is JSON.
const SOURCE: &str = "errdefs.Source+json";

/// What an error of BuildKit is about.
#[derive(Deserialize)]
struct About {
    #[serde(default)]
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct Range {
    start: Position,
}

#[derive(Deserialize)]
struct Position {
    #[serde(default)]
    line: usize,
}

/// The instruction that an error of BuildKit is about.
fn spot(status: &tonic::Status) -> Option<Spot> {
    let details = google::rpc::Status::decode(status.details()).ok()?.details;
    let about = details.iter().filter(|detail| detail.type_url.ends_with(SOURCE));
    let mut about = about.filter_map(|detail| serde_json::from_slice::<About>(&detail.value).ok());
    about.find_map(|about| about.ranges.first().map(|range| Spot::Line(range.start.line)))
}

/// Whether an error came of opening a connection.
fn is_connecting(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect)
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// What the system says of it, if it does.
fn cause(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}

/// What the layers of an HTTP client say before what happened.
const WRAPPERS: [&str; 3] = ["Error in the hyper legacy client", "client error (", "connection error"];

/// An error with what caused it, each said once; wrappers that say nothing are left out
/// where something else does.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut all: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let mut said = error.to_string();
        next = error.source();
        // Some say what caused them themselves.
        if let Some(cause) = next.map(ToString::to_string)
            && let Some(own) = said.strip_suffix(&cause)
        {
            said.truncate(own.trim_end_matches([':', ' ']).len());
        }
        if !said.is_empty() && !all.iter().any(|known| known.contains(&said)) {
            all.push(said);
        }
    }
    let is_wrapper = |said: &String| WRAPPERS.iter().any(|wrapper| said.starts_with(wrapper));
    if all.iter().any(|said| !is_wrapper(said)) {
        all.retain(|said| !is_wrapper(said));
    }
    all.join(": ")
}
