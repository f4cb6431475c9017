//! One graph of steps, written for several programs.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Layers of the graph.
const LAYERS: usize = 10;

/// A graph of steps in layers: each copies a source file of its own, reads one or
/// two outputs of the layer before, and writes one output.
pub(crate) struct Graph {
    width: usize,
}

struct Step {
    layer: usize,
    at: usize,
    /// What of the layer before is read.
    reads: Vec<usize>,
}

impl Graph {
    pub(crate) const fn new(steps: usize) -> Self {
        Self { width: steps / LAYERS }
    }

    fn steps(&self) -> impl Iterator<Item = Step> {
        (0..LAYERS).flat_map(move |layer| {
            (0..self.width).map(move |at| {
                let reads = match (layer, at % 2) {
                    (0, _) => Vec::new(),
                    (_, 0) => vec![at],
                    _ => vec![at, (at + 1) % self.width],
                };
                Step { layer, at, reads }
            })
        })
    }

    /// The source of a step.
    pub(crate) fn source(layer: usize, at: usize) -> String {
        format!("src/{layer}/{at}")
    }

    /// Writes the sources, and the graph as release.kdl, build.ninja, and
    /// Makefile. The commands of release.kdl are scripts, or programs with their
    /// arguments.
    pub(crate) fn write(&self, directory: &Path, scripts: bool) {
        for layer in 0..LAYERS {
            fs::create_dir_all(directory.join(format!("src/{layer}"))).expect("a directory can be made");
        }
        let mut kdl = String::from("project \"bench\"\ndefault \"all\"\nsettings { shell \"sh\" \"-c\"; }\n");
        let mut ninja = String::from("rule cp\n  command = cp $in $out\n");
        let mut make = String::from("all:\n");
        for step in self.steps() {
            let Step { layer, at, reads } = &step;
            let (source, output) = (Self::source(*layer, *at), format!("out/{layer}/{at}"));
            let before: Vec<String> = reads.iter().map(|read| format!("out/{}/{read}", layer - 1)).collect();
            let quoted: String = before.iter().map(|path| format!(" \"{path}\"")).collect();
            let run = if scripts {
                format!("\"cp {source} {output}\"")
            } else {
                format!("\"cp\" \"{source}\" \"{output}\"")
            };
            let _ = writeln!(
                kdl,
                "target \"s{layer}-{at}\" {{ run {run}; inputs \"{source}\"{quoted}; outputs \"{output}\"; }}"
            );
            let _ = writeln!(ninja, "build {output}: cp {source} | {}", before.join(" "));
            let _ = writeln!(make, "{output}: {source} {}\n\tcp $< $@", before.join(" "));
            let text = format!("step {at} of layer {layer}\n").repeat(4);
            fs::write(directory.join(&source), text).expect("a file can be written");
        }
        let last = LAYERS - 1;
        let names: String = (0..self.width).map(|at| format!(" \"s{last}-{at}\"")).collect();
        let outputs: String = (0..self.width).map(|at| format!(" out/{last}/{at}")).collect();
        let _ = writeln!(kdl, "target \"all\" {{ needs{names}; }}");
        let _ = writeln!(ninja, "build all: phony{outputs}\ndefault all");
        let _ = writeln!(make, "all:{outputs}");
        fs::write(directory.join("release.kdl"), kdl).expect("a file can be written");
        fs::write(directory.join("build.ninja"), ninja).expect("a file can be written");
        fs::write(directory.join("Makefile"), make).expect("a file can be written");
        self.clear(directory);
    }

    /// Removes all that any of the programs made, and leaves empty directories for
    /// the outputs, which make does not make.
    #[expect(clippy::unused_self, reason = "it is the graph's outputs that go")]
    pub(crate) fn clear(&self, directory: &Path) {
        // Out of the way and not removed: where many files have just been removed, some
        // file systems are slow to make others.
        let old = tempfile::tempdir_in(directory).expect("a directory can be made").keep();
        for made in ["out", ".hoist", "cache", ".ninja_log", ".ninja_deps"] {
            let _not_there = fs::rename(directory.join(made), old.join(made));
        }
        for layer in 0..LAYERS {
            fs::create_dir_all(directory.join(format!("out/{layer}"))).expect("a directory can be made");
        }
    }

    /// Gives the source of one step of the last layer another content, so that
    /// this step alone must run.
    pub(crate) fn edit(directory: &Path, round: usize, who: &str) {
        let source = directory.join(Self::source(LAYERS - 1, 1));
        fs::write(source, format!("edit {round} for {who}\n")).expect("a file can be written");
    }
}

/// Steps that only sleep, most of them for a short time and a few for a long one,
/// some behind others.
pub(crate) struct Sleeps(Vec<(f64, Option<usize>)>);

impl Sleeps {
    pub(crate) fn new() -> Self {
        // The quantiles of a Pareto distribution, in an order that gives nothing
        // away; every fourth step waits for the one before.
        let count = 96;
        let length = |at: usize| {
            let place = (at * 37) % count + 1;
            let quantile = f64::from(u32::try_from(place).unwrap_or(1)) / 97.0;
            (0.05 / quantile).clamp(0.05, 1.6)
        };
        Self((0..count).map(|at| (length(at), (at % 4 == 3).then(|| at - 1))).collect())
    }

    /// What no schedule can be shorter than with so many jobs, in seconds.
    pub(crate) fn bound(&self, jobs: f64) -> f64 {
        let work: f64 = self.0.iter().map(|(length, _)| length).sum();
        let way =
            |(length, after): &(f64, Option<usize>)| length + after.map_or(0.0, |after| self.0[after].0);
        self.0.iter().map(way).fold(work / jobs, f64::max)
    }

    pub(crate) fn write(&self, directory: &Path) {
        let mut kdl = String::from("project \"bench\"\ndefault \"all\"\nvar \"round\" \"0\"\n");
        let mut ninja = String::from("rule sleep\n  command = sleep $length && touch $out\n");
        fs::write(directory.join("in"), "").expect("a file can be written");
        for (at, (length, after)) in self.0.iter().enumerate() {
            let needs = after.map_or(String::new(), |after| format!("needs \"s{after}\"; "));
            let _ = writeln!(
                kdl,
                "target \"s{at}\" {{ {needs}run \"sleep\" \"{length:.3}\"; inputs \"in\"; env ROUND=\"{{round}}\"; }}"
            );
            let before = after.map_or(String::new(), |after| format!(" | out/{after}"));
            let _ = writeln!(ninja, "build out/{at}: sleep{before}\n  length = {length:.3}");
        }
        let names: String = (0..self.0.len()).map(|at| format!(" \"s{at}\"")).collect();
        let _ = writeln!(kdl, "target \"all\" {{ needs{names}; }}");
        fs::write(directory.join("release.kdl"), kdl).expect("a file can be written");
        fs::write(directory.join("build.ninja"), ninja).expect("a file can be written");
    }
}
