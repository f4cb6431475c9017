//! What may stand on the command line.

use std::path::PathBuf;

use crate::cli::completions::{goals, images};
use crate::cli::prune::Prune;
use crate::cli::stage_arguments::{Cut, History, Promote, Resume, Rollback, Status};
use clap::error::{ContextKind, ErrorKind};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::ArgValueCandidates;
use clap_complete::engine::SubcommandCandidates;

/// Build, test, and release container images from a checked-in release.kdl.
#[derive(Debug, Parser)]
#[command(
    name = "hoist",
    add = SubcommandCandidates::new(goals),
    version,
    args_conflicts_with_subcommands = false,
    override_usage = "hoist [OPTIONS] [COMMAND]\n       hoist [OPTIONS] NAME… [VAR=VALUE…]",
    after_help = "Without a command, hoist lists what release.kdl declares. A name that is no command is run: \
                  `hoist NAME` is `hoist run NAME`."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Whether a name stands where a command could.
    #[arg(skip)]
    pub(crate) named: bool,
}

/// Above the flags that every command has, in its help.
const GLOBAL: &str = "Global options";

/// What holds for every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Start in this directory
    #[arg(short = 'C', long, value_name = "DIR", global = true, help_heading = GLOBAL, value_hint = ValueHint::DirPath)]
    pub(crate) directory: Option<PathBuf>,
    /// Read this file instead of the nearest release.kdl
    #[arg(long, value_name = "FILE", global = true, help_heading = GLOBAL, value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// What the run is for: tag=v1.2.3, branch=main, pr=42, schedule
    #[arg(long, value_name = "EVENT", global = true, help_heading = GLOBAL)]
    pub(crate) event: Option<String>,
    /// Use colours always, never, or on a terminal unless `NO_COLOR` is set
    #[arg(long, value_name = "WHEN", global = true, help_heading = GLOBAL, default_value = "auto")]
    pub(crate) color: When,
    /// Print JSON: events or values, one object a line
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    /// Say less: only failures and what was asked for
    #[arg(short, long, global = true, help_heading = GLOBAL, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more: the output of cached steps, and all reasons
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub(crate) verbose: bool,
}

/// When to do something that a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    // Without help of their own, so that the help of each command fits on a screen.
    Auto,
    Always,
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run targets, images, steps (`web:test`, `'web:*'`), or goals
    Run(Run),
    /// Build, check, and publish what release.kdl declares
    Release(Release),
    /// Let what runs in one stage enter another, by digest
    Promote(Promote),
    /// Take a stage back to what it ran before, and put it on hold
    Rollback(Rollback),
    /// Finish a release that stopped half way, or put it back
    Resume(Resume),
    /// Show what runs in which stage, since when, and whether its tags still say so
    Status(Status),
    /// Show what stages ran, and who had it so
    History(History),
    /// Make the annotated git tag of the next version
    Cut(Cut),
    /// Show what would run, and why
    Plan(Plan),
    /// Show why a step would run again
    Why(Why),
    /// Draw the graph of steps
    Graph(Graph),
    /// Show each image's tags, with the rules that make them
    Tags(Tags),
    /// Check release.kdl and all that it includes
    Check,
    /// Format release.kdl
    Fmt(Fmt),
    /// Write a release.kdl for what is found here
    Init(Init),
    /// Show an image: layers, sizes, wasted bytes, configuration; or a repository's tags
    Inspect(Inspect),
    /// Check that images are signed, and show what is attested of them
    Verify(Verify),
    /// Copy an image, by digest: from registry or directory to registry or directory
    Copy(Copy),
    /// Remove a tag, or an image with all its tags
    Remove(Remove),
    /// Delete what registries need not keep: by `retain` of release.kdl, and what hoist
    /// made for itself
    Prune(Prune),
    /// Keep the password for a registry; or show who one is at the registries
    Login(Login),
    /// Forget the password for a registry
    Logout(Logout),
    /// Check what this machine, and the registries of release.kdl, give
    Doctor,
    /// Show the output of a step, or what became of a run
    Log(Log),
    /// Show a run as a whole: a page, Markdown, JUnit XML, a Chrome trace, JSON
    Report(Report),
    /// Remove what hoist made here
    Clean(Clean),
    /// Print completions for a shell
    Completions(Completions),
    /// A name that is no command is a target.
    #[command(external_subcommand)]
    Name(Vec<String>),
}

/// How steps are run.
#[derive(Clone, Debug, Args)]
pub(crate) struct Running {
    /// Steps at once [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) jobs: Option<u16>,
    /// Go on with what does not depend on a failed step
    #[arg(short, long)]
    pub(crate) keep_going: bool,
    /// Show what would run, and run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Run the named steps again, although nothing changed
    #[arg(long)]
    pub(crate) force: bool,
    /// Neither read nor write the cache
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Deny cacheable targets the files of the project that they do not declare
    #[arg(long)]
    pub(crate) sandbox: bool,
    /// Answer every question with yes
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Publish although the tree has changes that are not committed
    #[arg(long)]
    pub(crate) allow_dirty: bool,
    /// Move moving tags to an older version or commit, too
    #[arg(long)]
    pub(crate) allow_regress: bool,
    /// Write what became of the steps as JUnit XML, also if the run fails
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) junit: Option<PathBuf>,
    /// Write when the steps ran as a Chrome trace, also if the run fails
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) trace: Option<PathBuf>,
    /// Write a page that shows the run, also if it fails
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) html: Option<PathBuf>,
    /// The run that it is part of: it takes back what failed there, of which that one tells
    #[arg(skip)]
    pub(crate) part_of: Option<String>,
}

/// `hoist run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) running: Running,
    /// Run the named targets again, and show which `inputs` they really read
    #[arg(long, conflicts_with_all = ["dry_run", "sandbox", "watch"])]
    pub(crate) learn: bool,
    /// Run again when an input or release.kdl changes, until Ctrl-C; what runs is
    /// stopped for it
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) watch: bool,
    /// With `--watch`: look for changes every second instead of waiting for the
    /// system to tell, which it does not on some network file systems
    #[arg(long, requires = "watch")]
    pub(crate) poll: bool,
    /// Names of targets, images, steps, or goals; values of variables. Without
    /// a name: what `default` says
    #[arg(value_name = "NAME | VAR=VALUE", add = ArgValueCandidates::new(goals))]
    pub(crate) words: Vec<String>,
}

/// `hoist release`.
#[derive(Debug, Args)]
pub(crate) struct Release {
    #[command(flatten)]
    pub(crate) running: Running,
    /// Enter stages that are on hold, too, and end that
    #[arg(long)]
    pub(crate) lift_hold: bool,
    /// Values of variables
    #[arg(value_name = "VAR=VALUE")]
    pub(crate) words: Vec<String>,
}

/// `hoist plan`.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Names, and values of variables. Without a name: what `hoist release` would do,
    /// or `hoist run` where the file declares no image
    #[arg(value_name = "NAME | VAR=VALUE", add = ArgValueCandidates::new(goals))]
    pub(crate) words: Vec<String>,
    /// Plan as if the tree had no changes
    #[arg(long)]
    pub(crate) allow_dirty: bool,
}

/// `hoist why`.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// The step, and values of variables
    #[arg(value_name = "STEP | VAR=VALUE", required = true, add = ArgValueCandidates::new(goals))]
    pub(crate) words: Vec<String>,
}

/// `hoist graph`.
#[derive(Debug, Args)]
pub(crate) struct Graph {
    /// How it is drawn
    #[arg(long, value_name = "FORMAT", default_value = "dot")]
    pub(crate) format: GraphFormat,
    /// Names, and values of variables. Without a name: everything
    #[arg(value_name = "NAME | VAR=VALUE", add = ArgValueCandidates::new(goals))]
    pub(crate) words: Vec<String>,
}

/// Languages that a graph is drawn in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Graphviz
    Dot,
    /// Mermaid, as Markdown viewers draw it
    Mermaid,
    /// A picture
    Svg,
}

/// `hoist tags`.
#[derive(Debug, Args)]
pub(crate) struct Tags {
    /// Names of images, and values of variables. Without a name: all images
    #[arg(value_name = "IMAGE | VAR=VALUE", add = ArgValueCandidates::new(images))]
    pub(crate) words: Vec<String>,
}

/// `hoist fmt`.
#[derive(Debug, Args)]
pub(crate) struct Fmt {
    /// Change nothing; fail if a file is not formatted, and show how it differs
    #[arg(long)]
    pub(crate) check: bool,
    /// The files. Without one: release.kdl and all that it includes
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
}

/// `hoist init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Print the file instead of writing it
    #[arg(long)]
    pub(crate) print: bool,
}

/// `hoist inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// An image of release.kdl as it was built last, `oci:DIR[:TAG]`, or
    /// `HOST/REPOSITORY:TAG` or `@DIGEST` at a registry; with `-q` its digest alone.
    /// `HOST/REPOSITORY` alone: its tags with what they point to, or with `-q` their
    /// names alone. `HOST` alone, with a dot in its name or a `/` behind it: the
    /// repositories of the registry
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// Of an image for several platforms, only this one
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<String>,
    /// At a registry: read the layers, too, for sizes of files and what is wasted. What
    /// lies on this machine is always read
    #[arg(long)]
    pub(crate) files: bool,
    /// How many files are listed as the largest, and as wasted
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) top: usize,
    /// Write a page with a map of the files by size, layer, and waste; reads the layers
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) html: Option<PathBuf>,
    /// Print only the digest
    #[arg(long, conflicts_with_all = ["files", "html", "label"])]
    pub(crate) digest: bool,
    /// Print only the value of this label
    #[arg(long, value_name = "NAME", conflicts_with_all = ["files", "html"])]
    pub(crate) label: Option<String>,
}

/// `hoist verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The images: `HOST/REPOSITORY[:TAG]`, `HOST/REPOSITORY@DIGEST`, or `oci:DIR[:TAG]`
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) images: Vec<String>,
    /// A public key that must have signed them, such as cosign.pub; several for several.
    /// Without one: the public half of what `sign` of release.kdl names
    #[arg(long = "key", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) keys: Vec<String>,
}

/// `hoist copy`.
#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// The image: `HOST/REPOSITORY[:TAG]`, `HOST/REPOSITORY@DIGEST`, `oci:DIR[:TAG]`, or
    /// an image of release.kdl as it was built last
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// Where to, in the same way; several for several tags or places. Its tag there is
    /// the one that TO names, else the one of FROM (`latest` where a registry's image is
    /// named by nothing, the only tag of the only image of a layout); where neither has
    /// one, only its digest names it
    #[arg(value_name = "TO", required = true)]
    pub(crate) to: Vec<String>,
    /// Of an image for several platforms, only this one
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<String>,
    /// Leave behind what refers to the image: signatures, attestations, bills of materials
    #[arg(long)]
    pub(crate) no_referrers: bool,
    /// Overwrite tags that never change, too: full versions, commits, and what a rule of
    /// release.kdl makes immutable
    #[arg(long)]
    pub(crate) force: bool,
}

/// `hoist remove`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// What is removed: `HOST/REPOSITORY:TAG`, `HOST/REPOSITORY@DIGEST`, or
    /// `oci:DIR:TAG`. In a directory, blobs that nothing needs any more go with it
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) images: Vec<String>,
    /// Remove the images with all of their tags
    #[arg(long)]
    pub(crate) all_tags: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// `hoist login`.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The registry: `ghcr.io`, `localhost:5000`; `docker.io` is Docker Hub. Without one:
    /// who one is at each registry of release.kdl
    #[arg(value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// The user; without it, it is asked for
    #[arg(short, long, value_name = "USER", requires = "host")]
    pub(crate) username: Option<String>,
    /// Read the password, or token, from standard input
    #[arg(long, requires_all = ["host", "username"])]
    pub(crate) password_stdin: bool,
}

/// `hoist logout`.
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// The registry
    #[arg(value_name = "HOST")]
    pub(crate) host: String,
}

/// `hoist log`.
#[derive(Debug, Args)]
pub(crate) struct Log {
    /// The step, a target or image for all of its steps, or a glob; of the newest
    /// run that has it. Without one: what became of the last run, and what failed
    #[arg(value_name = "STEP")]
    pub(crate) step: Option<String>,
    /// Of this run: the id that `--runs` shows, or a part of it
    #[arg(long, value_name = "ID")]
    pub(crate) run: Option<String>,
    /// List the runs that are recorded
    #[arg(long, conflicts_with_all = ["step", "run"])]
    pub(crate) runs: bool,
}

/// `hoist report`.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The run: the id that `hoist log --runs` shows, or a part of it. Without one: the last
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// What is written [default: markdown; on a terminal, what `hoist log` shows]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<ReportFormat>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Write a page of HTML to this file: failures, images, timeline, graph, steps, earlier runs
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["format", "output"])]
    pub(crate) html: Option<PathBuf>,
}

/// Forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people: the summary of a job, a comment
    Markdown,
    /// JUnit XML, a test case for each step
    Junit,
    /// A Chrome trace, for Perfetto
    Trace,
    /// A page of HTML, one file that loads nothing
    Html,
    /// One JSON object, as `--json` writes it, too
    Json,
}

/// `hoist clean`.
#[derive(Debug, Args)]
pub(crate) struct Clean {
    /// Remove the cache instead, for all projects of this user
    #[arg(long)]
    pub(crate) cache: bool,
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `hoist completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

impl Arguments {
    /// Reads the command line. A name that is no command stands for `run`, with
    /// all that follows it, and flags of `run` may stand before it.
    ///
    /// # Errors
    /// What clap makes of a command line that it does not understand, help and
    /// version among it.
    pub(crate) fn read(words: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Self, clap::Error> {
        let words: Vec<_> = words.into_iter().collect();
        let read = match Self::try_parse_from(&words) {
            Err(error) if error.kind() == ErrorKind::UnknownArgument => {
                return Self::flags_first(&words, error);
            }
            read => read?,
        };
        let Some(Command::Name(rest)) = &read.command else { return Ok(read) };
        let name = words.len().saturating_sub(rest.len());
        // Behind `--` there are names alone, and `run` would be one of them.
        let dashed = words.get(..name).and_then(<[_]>::last).is_some_and(|word| word == "--");
        let at = name.saturating_sub(usize::from(dashed));
        let mut with_run = words.clone();
        with_run.insert(at, "run".into());
        Self::try_parse_from(with_run).map(|read| Self { named: !dashed, ..read })
    }

    /// The names of all commands.
    pub(crate) fn commands() -> Vec<String> {
        let mut definition = Self::command();
        definition.build();
        definition.get_subcommands().map(|command| command.get_name().to_owned()).collect()
    }

    /// `hoist -k lint`: flags of `run` before a name, where no command is named. A
    /// flag that is one of `run`, or much like one, was meant as that.
    fn flags_first(words: &[std::ffi::OsString], error: clap::Error) -> Result<Self, clap::Error> {
        let commands = Self::commands();
        if words.iter().any(|word| commands.iter().any(|command| word == command.as_str())) {
            return Err(error);
        }
        let mut with_run = words.to_vec();
        with_run.insert(1.min(words.len()), "run".into());
        let is_known = |error: &clap::Error| {
            error.kind() != ErrorKind::UnknownArgument || error.get(ContextKind::SuggestedArg).is_some()
        };
        Self::try_parse_from(with_run).map_err(|of_run| if is_known(&of_run) { of_run } else { error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::read(line.split(' ').map(Into::into))
    }

    fn run(line: &str) -> (Global, Run) {
        let arguments = read(line).expect("the line is understood");
        match arguments.command {
            Some(Command::Run(run)) => (arguments.global, run),
            other => panic!("not a run: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_name_that_is_no_command_is_run() {
        let (global, run) = run("hoist -C dir lint web:test python=3.12 -j 4 -k --json");
        assert_eq!(run.words, ["lint", "web:test", "python=3.12"]);
        assert_eq!(run.running.jobs, Some(4));
        assert!(run.running.keep_going && global.json);
        assert_eq!(global.directory, Some("dir".into()));
    }

    #[test]
    fn what_follows_two_dashes_is_run() {
        assert_eq!(run("hoist -- lint").1.words, ["lint"]);
        assert_eq!(run("hoist --json -- lint -x").1.words, ["lint", "-x"]);
    }

    #[test]
    fn flags_of_run_may_stand_before_a_name() {
        let (global, run) = run("hoist -k -j 2 --json lint");
        assert_eq!((run.words.as_slice(), run.running.jobs), (&["lint".to_owned()][..], Some(2)));
        assert!(run.running.keep_going && global.json);
        assert!(read("hoist -k run lint").is_err());
    }

    #[test]
    fn a_command_may_be_a_target_s_name_behind_run() {
        assert_eq!(run("hoist run release plan").1.words, ["release", "plan"]);
    }

    #[test]
    fn a_name_in_the_place_of_a_command_may_be_a_slip_for_one() {
        let named = |line| read(line).expect("understood").named;
        assert!(named("hoist rnu") && named("hoist --json rnu"));
        assert!(!named("hoist -- rnu") && !named("hoist run rnu") && !named("hoist -k rnu"));
        assert_eq!(read("hoist help why").expect_err("help").kind(), ErrorKind::DisplayHelp);
        let commands = Arguments::commands();
        assert!(commands.contains(&"run".to_owned()) && commands.contains(&"help".to_owned()));
    }

    #[test]
    fn a_slip_in_a_flag_of_run_is_recognised_with_and_without_a_name() {
        for line in ["hoist run --frce", "hoist build --frce", "hoist --frce"] {
            let error = read(line).expect_err("wrong").to_string();
            assert!(error.contains("a similar argument exists: '--force'"), "{line}: {error}");
        }
    }

    #[test]
    fn a_value_that_a_flag_of_run_does_not_take_is_told_before_a_name_too() {
        for line in ["hoist run -j 0 lint", "hoist -j 0 lint", "hoist lint -j abc", "hoist -j"] {
            let kind = read(line).expect_err("wrong").kind();
            assert!(matches!(kind, ErrorKind::ValueValidation | ErrorKind::InvalidValue), "{line}: {kind}");
        }
    }

    #[test]
    fn no_command_lists() {
        assert!(read("hoist").expect("understood").command.is_none());
        assert!(read("hoist --json").expect("understood").command.is_none());
    }

    #[test]
    fn an_unknown_flag_is_an_error_also_behind_a_name() {
        assert!(read("hoist lint --nonsense").is_err());
        assert!(read("hoist lint -j 0").is_err());
    }
}
