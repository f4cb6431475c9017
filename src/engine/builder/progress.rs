//! How a build with BuildKit goes, as lines.

use std::collections::HashMap;

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex};

use crate::dockerfile::Spot;

/// Most bytes of a line that are kept until it ends.
const LONGEST: usize = 64 << 10;

/// In the words of a step that was given up, since another failed.
const GIVEN_UP: &str = "context canceled";

/// How many steps of a build there were, and how many of them had been done before.
/// Where layers are what is made, each is a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheHits {
    /// All of them.
    pub steps: usize,
    /// Those that were taken from a cache.
    pub cached: usize,
}

/// Collects what an engine tells, in the form of `docker build --progress=plain`.
#[derive(Debug, Default)]
pub(super) struct Progress {
    known: HashMap<String, Known>,
    /// The step whose lines are written.
    speaking: Option<usize>,
    /// The name of what failed first.
    failed: Option<String>,
}

/// What is known of a step.
#[derive(Debug)]
struct Known {
    number: usize,
    name: String,
    started: Option<Timestamp>,
    ended: bool,
    cached: bool,
    /// What it wrote of a line that has not ended.
    open: Vec<u8>,
}

impl Progress {
    /// Takes what was told, and hands out the lines that it makes.
    pub(super) fn take(&mut self, told: StatusResponse, mut line: impl FnMut(&[u8])) {
        for vertex in told.vertexes {
            self.vertex(vertex, &mut line);
        }
        for log in told.logs {
            let Some(known) = self.known.get_mut(&log.vertex) else { continue };
            let number = known.number;
            if self.speaking != Some(number) {
                line(format!("#{number} {}", known.name).as_bytes());
                self.speaking = Some(number);
            }
            known.open.extend_from_slice(&log.msg);
            while let Some(end) = known.open.iter().position(|byte| *byte == b'\n') {
                let rest = known.open.split_off(end + 1);
                let text = std::mem::replace(&mut known.open, rest);
                line(&[format!("#{number} ").as_bytes(), text.trim_ascii_end()].concat());
            }
            // A line without an end is shown in pieces.
            if known.open.len() > LONGEST {
                line(&[format!("#{number} ").as_bytes(), &std::mem::take(&mut known.open)].concat());
            }
        }
        for warning in told.warnings {
            line(&[b"warning: ", warning.short.as_slice()].concat());
        }
    }

    fn vertex(&mut self, vertex: Vertex, line: &mut impl FnMut(&[u8])) {
        let number = self.known.len() + 1;
        let name = vertex.name;
        let known = self.known.entry(vertex.digest).or_insert_with(|| Known {
            number,
            name,
            started: None,
            ended: false,
            cached: false,
            open: Vec::new(),
        });
        known.started = known.started.or(vertex.started);
        if known.ended || (vertex.completed.is_none() && !vertex.cached) {
            return;
        }
        let number = known.number;
        (known.ended, known.cached) = (true, vertex.cached);
        if !known.open.is_empty() {
            line(&[format!("#{number} ").as_bytes(), &std::mem::take(&mut known.open)].concat());
        }
        if self.speaking != Some(number) {
            line(format!("#{number} {}", known.name).as_bytes());
            self.speaking = Some(number);
        }
        // What runs beside the one that fails is given up, and told as failed, too.
        if !vertex.error.is_empty() && !vertex.error.contains(GIVEN_UP) && self.failed.is_none() {
            self.failed = Some(known.name.clone());
        }
        let end = match (vertex.error.is_empty(), vertex.cached) {
            (false, _) => format!("#{number} ERROR: {}", vertex.error),
            (true, true) => format!("#{number} CACHED"),
            (true, false) => format!("#{number} DONE {:.1}s", seconds(known.started, vertex.completed)),
        };
        line(end.as_bytes());
    }

    /// The instruction that failed.
    pub(super) fn failed(&self) -> Option<Spot> {
        Spot::in_name(self.failed.as_ref()?, self.known.values().map(|known| known.name.as_str()))
    }

    /// How many steps of the Dockerfile were done before: those whose names say where
    /// in it they are, as `[stage 2/5] RUN …`, but for the bases, which nobody makes.
    pub(super) fn hits(&self) -> CacheHits {
        let is_base = |known: &Known| known.name.contains("] FROM ");
        let is_step = |known: &&Known| {
            known.name.starts_with('[') && !known.name.starts_with("[internal]") && !is_base(known)
        };
        let steps = self.known.values().filter(is_step);
        let (steps, cached) =
            steps.fold((0, 0), |(steps, cached), known| (steps + 1, cached + usize::from(known.cached)));
        CacheHits { steps, cached }
    }
}

fn seconds(from: Option<Timestamp>, to: Option<Timestamp>) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "tenths of seconds are shown")]
    let seconds = |time: Timestamp| time.seconds as f64 + f64::from(time.nanos) / 1e9;
    from.zip(to).map_or(0.0, |(from, to)| (seconds(to) - seconds(from)).max(0.0))
}
