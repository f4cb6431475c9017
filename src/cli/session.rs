//! What all commands share: the host, the texts read, and how to speak.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::cache::{Cache, State};
use crate::cli::arguments::{Global, When};
use crate::cli::bases::Strictness;
use crate::cli::report::summarise_refusal;
use crate::cli::stages::Entered;
use crate::cli::words::Words;
use crate::config::{ProjectPath, Release};
use crate::diagnostic::{Class, Code, Problem, Problems, Sources, Span, Spanned};
use crate::facts::{
    Compiled, Facts, Host, KnownFiles, Links, Needs, Origin, Project, Question, Text, ToolQuery,
    compile_release,
};
use crate::plan::{Goals, Options, Plan, Selection, places_of};
use crate::report::{Dialect, Look, output, problems_json, render, status};

/// One call of hoist.
pub(crate) struct Session {
    pub(crate) host: Host,
    pub(crate) global: Global,
    pub(crate) sources: Sources,
}

/// A release file, read.
pub(crate) struct Loaded {
    pub(crate) project: Project,
    pub(crate) release: Release,
    /// What it was read from.
    pub(crate) origin: Origin,
    /// Files that need not be read again.
    pub(crate) known: KnownFiles,
}

/// A plan with all that it was made from.
pub(crate) struct Planned {
    pub(crate) project: Project,
    pub(crate) release: Release,
    pub(crate) facts: Facts,
    pub(crate) plan: Plan,
    /// Tools that were asked.
    pub(crate) tools: Vec<ToolQuery>,
    /// Files that were read before.
    pub(crate) known: KnownFiles,
    /// The stages that it enters, if it does.
    pub(crate) entered: Option<Entered>,
    /// What could not be asked, and is taken for what was known before.
    pub(crate) unreached: Problems,
    /// See [`lacking`](Self::lacking), once it was looked for.
    pub(crate) lacking: OnceCell<BTreeMap<PathBuf, Span>>,
}

/// Begins the name of the file that holds the compiled release.
const RELEASE: &str = "release";

/// Widest that text is set, where a terminal is wider.
const WIDEST: usize = 120;
/// Width of text that does not go to a terminal.
const DEFAULT_WIDTH: usize = 100;

impl Session {
    pub(crate) fn open(global: Global) -> Result<Self, Problem> {
        Ok(Self { host: Host::current()?, global, sources: Sources::new() })
    }

    /// Goes to the directory that the command line names.
    pub(crate) fn enter(&mut self) -> Result<(), Problem> {
        if let Some(directory) = &self.global.directory {
            let there = self.host.directory.join(directory);
            if !there.is_dir() {
                let title = format!("there is no directory `{}`", directory.display());
                return Err(Problem::new(Code::CommandLine, title).help("name a directory behind `-C`"));
            }
            self.host.directory = there;
        }
        Ok(())
    }

    /// How standard output is written.
    pub(crate) fn output_look(&self) -> Look {
        self.look(self.host.output_is_terminal, &console::Term::stdout())
    }

    /// How standard error is written.
    pub(crate) fn status_look(&self) -> Look {
        self.look(self.host.error_is_terminal, &console::Term::stderr())
    }

    fn look(&self, terminal: bool, of: &console::Term) -> Look {
        let set = |name: &str| self.host.environment.text(name).is_some_and(|value| !value.is_empty());
        let dumb = self.host.environment.text("TERM") == Some("dumb");
        let color = match self.global.color {
            When::Always => true,
            When::Never => false,
            When::Auto if set("NO_COLOR") => false,
            When::Auto if set("CLICOLOR_FORCE") => true,
            When::Auto => terminal && !dumb,
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| self.host.environment.text(name));
        let utf8 = |locale: &str| locale.to_ascii_lowercase().replace('-', "").contains("utf8");
        let width = terminal.then(|| of.size_checked()).flatten();
        Look {
            color,
            unicode: locale.is_none_or(utf8) && !dumb,
            width: width.map_or(DEFAULT_WIDTH, |(_, columns)| usize::from(columns).clamp(40, WIDEST)),
            bounded: terminal,
        }
    }

    /// The CI system whose log is written, if it can be folded.
    pub(crate) fn dialect(&self) -> Option<Dialect> {
        let is = |name: &str| self.host.environment.text(name) == Some("true");
        if is("GITHUB_ACTIONS") { Some(Dialect::GitHub) } else { is("GITLAB_CI").then_some(Dialect::GitLab) }
    }

    /// Finds and reads the release file with all that it includes.
    pub(crate) fn load(&mut self) -> Result<Loaded, Problems> {
        let project = Project::find(&self.host, self.global.file.as_deref())?;
        self.load_project(project)
    }

    /// Reads the release file with all that it includes. While the files say the
    /// same, they are not parsed again.
    pub(crate) fn load_project(&mut self, project: Project) -> Result<Loaded, Problems> {
        let state = self.state(&project);
        // How many texts there were before counts in its spans.
        let name = format!("{RELEASE}-{}", self.sources.iter().count());
        let bytes = state.as_ref().and_then(|state| state.read_sealed(&name)).unwrap_or_default();
        let compiled = bytes.strip_prefix(&self.build()).and_then(|bytes| postcard::from_bytes(bytes).ok());
        if let Some(Compiled { origin, release }) = compiled
            && let Some(sources) = origin.read_again(&project, &self.sources)
        {
            self.sources = sources;
            return Ok(Loaded { project, release, origin, known: KnownFiles::new() });
        }
        let compiled = compile_release(&project, &mut self.sources)?;
        if let (Some(state), Ok(bytes)) = (state, postcard::to_extend(&compiled, self.build().to_vec())) {
            state.write_sealed(&name, bytes);
        }
        let Compiled { origin, release } = compiled;
        Ok(Loaded { project, release, origin, known: KnownFiles::new() })
    }

    /// What tells this build of hoist from every other: what it keeps in a form
    /// of its own, no other build reads.
    pub(crate) fn build(&self) -> [u8; 32] {
        let stat = self.host.program.map(|stat| format!("{stat:?}")).unwrap_or_default();
        *blake3::hash(format!("{} {stat}", env!("CARGO_PKG_VERSION")).as_bytes()).as_bytes()
    }

    /// What is kept of a project beside its cache; `None` where the user has no
    /// place for a cache.
    pub(crate) fn state(&self, project: &Project) -> Option<State> {
        Some(State::new(&self.users_cache()?, &project.root))
    }

    /// Answers what is needed of the world.
    pub(crate) fn gather(
        &self,
        loaded: &Loaded,
        needs: &Needs,
        overrides: &IndexMap<String, String>,
    ) -> Result<Facts, Problems> {
        let known = &loaded.known;
        let event = self.global.event.as_deref();
        let waiting = |tool: &str| self.say_waiting(tool);
        let question = Question { needs, known, overrides, event, waiting: &waiting };
        crate::facts::gather(&self.host, &loaded.project, &loaded.release, &question)
    }

    /// From a release file to a plan that is looked at and not run: what tools
    /// say of themselves is not asked, so that they need not be installed, nor the ledger.
    pub(crate) fn outline(
        &self,
        loaded: &Loaded,
        goals: &Goals,
        overrides: &IndexMap<String, String>,
    ) -> Result<Plan, Problems> {
        Words::check_axes(&loaded.release, goals, overrides)?;
        let selection = crate::plan::select(&loaded.release, goals, &links_of(loaded))?;
        self.outline_of(loaded, selection, overrides)
    }

    /// As [`outline`](Self::outline), of a release, with the stages that it would enter.
    pub(crate) fn outline_release(
        &self,
        loaded: &Loaded,
        overrides: &IndexMap<String, String>,
    ) -> Result<Option<Entered>, Problems> {
        let options = Options { allow_dirty: true, looked_at: true, ..Options::default() };
        let (selection, entered) = self.select(loaded, &Goals::Release, overrides, options)?;
        self.outline_of(loaded, selection, overrides)?;
        Ok(entered)
    }

    fn outline_of(
        &self,
        loaded: &Loaded,
        mut selection: Selection,
        overrides: &IndexMap<String, String>,
    ) -> Result<Plan, Problems> {
        let tools = std::mem::take(&mut selection.needs.tools).len();
        let mut facts = self.gather(loaded, &selection.needs, overrides)?;
        facts.tools = vec![String::new(); tools];
        let options = Options { allow_dirty: true, looked_at: true, ..Options::default() };
        crate::plan::build(&loaded.release, &facts, &selection, &options)
    }

    /// What goals mean, and the stages that are entered with them.
    fn select(
        &self,
        loaded: &Loaded,
        goals: &Goals,
        overrides: &IndexMap<String, String>,
        options: Options,
    ) -> Result<(Selection, Option<Entered>), Problems> {
        Words::check_axes(&loaded.release, goals, overrides)?;
        let links = links_of(loaded);
        let selection = crate::plan::select(&loaded.release, goals, &links)?;
        if selection.is_release()
            && let Some((entering, entered)) = self.stages_of_event(loaded, overrides, options)?
        {
            let selection = crate::plan::select_entering(&loaded.release, goals, &links, entering)?;
            return Ok((selection, entered));
        }
        Ok((selection, None))
    }

    /// From a release file to a plan.
    pub(crate) fn plan(
        &mut self,
        loaded: Loaded,
        goals: &Goals,
        overrides: &IndexMap<String, String>,
        options: Options,
    ) -> Result<Planned, Problems> {
        let (selection, entered) = self.select(&loaded, goals, overrides, options)?;
        let mut facts = self.gather(&loaded, &selection.needs, overrides)?;
        facts.dockerfiles = self.read_dockerfiles(&loaded.project, &selection.needs)?;
        let strict = Strictness::of(&selection, options);
        let unreached = self.find_bases(&loaded, &selection, strict, &mut facts)?;
        let plan = crate::plan::build(&loaded.release, &facts, &selection, &options)?;
        let Loaded { project, release, known, .. } = loaded;
        let tools = selection.needs.tools;
        let mut planned = Planned {
            project,
            release,
            facts,
            plan,
            tools,
            known,
            entered,
            unreached,
            lacking: OnceCell::new(),
        };
        planned.settle_untracked()?;
        Ok(planned)
    }

    /// Reads Dockerfiles, so that problems can point into them.
    pub(crate) fn read_dockerfiles(
        &mut self,
        project: &Project,
        needs: &Needs,
    ) -> Result<Vec<Text>, Problems> {
        let mut problems = Problems::new();
        let mut known: HashMap<&ProjectPath, Text> = HashMap::new();
        let mut texts = Vec::new();
        for Spanned { value: path, span } in &needs.dockerfiles {
            if let Some(text) = known.get(path) {
                texts.push(text.clone());
                continue;
            }
            match std::fs::read_to_string(project.root.join(path.as_path())) {
                Ok(text) => {
                    let source = self.sources.add(path.to_string(), text);
                    let text = self.sources.get(source).map(|source| Arc::clone(&source.text));
                    let text = Text { source, text: text.unwrap_or_default() };
                    known.insert(path, text.clone());
                    texts.push(text);
                }
                Err(error) => problems.push(
                    Problem::new(Code::Unreadable, format!("`{path}` cannot be read"))
                        .label(*span, "the image is built from it")
                        .note(error.to_string())
                        .help(
                            "what an image starts from is planned before anything runs: no step can make it",
                        ),
                ),
            }
        }
        problems.or(texts)
    }

    /// Opens the cache: the directory that the file names, or that of the user.
    pub(crate) fn cache(&self, release: &Release, project: &Project) -> Result<Cache, Problem> {
        Cache::open(&self.cache_directory(release, project)?, &project.root)
    }

    /// The cache for a run, which has one of its own where the usual one cannot be had.
    /// With `warn`, that is said.
    pub(crate) fn cache_for_run(
        &self,
        release: &Release,
        project: &Project,
        warn: bool,
    ) -> Result<Cache, Problem> {
        let problem = match self.cache(release, project) {
            Ok(cache) => return Ok(cache),
            Err(problem) => problem,
        };
        let dir = self.cache_directory(release, project).ok();
        let cache = Cache::temporary(dir.as_deref(), &project.root).map_err(|_| problem.clone())?;
        if warn && !self.global.json {
            let why = problem.notes.first().map(|note| format!(" ({note})")).unwrap_or_default();
            self.say(&format!("{}{why}; nothing is kept of this run\n", problem.title));
        }
        Ok(cache)
    }

    /// The directory of the cache: the one that the file names, or that of the user.
    pub(crate) fn cache_directory(&self, release: &Release, project: &Project) -> Result<PathBuf, Problem> {
        let home = self.variable("HOME");
        let named = release.cache.dir.as_ref().map(|dir| match (dir.value.strip_prefix("~/"), home) {
            (Some(below), Some(home)) => home.join(below),
            _ => project.root.join(&dir.value),
        });
        named.or_else(|| self.users_cache()).ok_or_else(|| {
            let problem =
                Problem::new(Code::CacheUnusable, "there is no place for the cache: `HOME` is not set");
            problem.help("set `HOIST_CACHE_DIR` to a directory")
        })
    }

    /// The cache directory of the user, if there is a place for one.
    pub(crate) fn users_cache(&self) -> Option<PathBuf> {
        let given = || self.variable("HOIST_CACHE_DIR").map(|dir| self.host.directory.join(dir));
        let xdg = || self.variable("XDG_CACHE_HOME").filter(|dir| dir.is_absolute());
        let home = || self.variable("HOME").map(|home| home.join(".cache/hoist"));
        given().or_else(|| xdg().map(|dir| dir.join("hoist"))).or_else(home)
    }

    /// A path that a variable of the environment names.
    fn variable(&self, name: &str) -> Option<PathBuf> {
        let value = self.host.environment.get(name)?;
        (!value.is_empty()).then(|| PathBuf::from(value))
    }

    /// Prints a text that was asked for.
    #[expect(clippy::unused_self, reason = "a session is what may speak")]
    pub(crate) fn output(&self, text: &str) -> Result<(), Problems> {
        output(text).map_err(|error| unwritable(&error).into())
    }

    /// Prints a text on the way, unless quiet is asked for.
    pub(crate) fn say(&self, text: &str) {
        if !self.global.quiet {
            status(text);
        }
    }

    /// Says what is waited for before anything runs.
    pub(crate) fn say_waiting(&self, tool: &str) {
        if !self.global.json {
            let mut lines = tool.lines();
            let (first, more) = (lines.next().unwrap_or_default(), lines.next().map_or("", |_| " …"));
            self.say(&format!("Waiting for `{first}{more}`, which says the version of a tool\n"));
        }
    }

    /// Shows what is wrong, and says how hoist ends because of it.
    pub(crate) fn report(&self, problems: &Problems) -> ExitCode {
        if self.global.json {
            // Nobody is left to tell that standard output went away.
            drop(output(&format!("{}\n", problems_json(problems, &self.sources))));
        } else {
            status(&render(problems, &self.sources, self.status_look()));
        }
        exit_code(problems.class())
    }

    /// As [`report`](Self::report), of what ends a command before anything ran: a CI system
    /// shows it in the files, and in the summary of the job, too.
    pub(crate) fn refuse(&self, problems: &Problems) -> ExitCode {
        let code = self.report(problems);
        if let (Some(dialect), false) = (self.dialect(), self.global.json || self.global.quiet) {
            let project = Project::find(&self.host, self.global.file.as_deref());
            let above = project.map(|project| above(&project.root)).unwrap_or_default();
            status(&dialect.annotations(problems, &self.sources, &above));
        }
        summarise_refusal(self, problems);
        code
    }
}

/// The symbolic links that the paths of a release lead through.
pub(crate) fn links_of(loaded: &Loaded) -> Links {
    Links::read(&loaded.project.root, &places_of(&loaded.release))
}

/// The path from the top of the repository to the project, with a `/` at its end
/// unless it is empty.
pub(crate) fn above(root: &Path) -> String {
    let top = root.ancestors().find(|above| above.join(".git").symlink_metadata().is_ok());
    let below = top.and_then(|top| root.strip_prefix(top).ok()).unwrap_or(Path::new(""));
    below.iter().flat_map(|part| [part.to_string_lossy(), "/".into()]).collect()
}

/// Threads for what waits on processes and networks.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Problem> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
        .map_err(|error| Problem::new(Code::CannotStart, "no threads can be started").note(error.to_string()))
}

/// What was asked for cannot be handed over.
pub(crate) fn unwritable(error: &std::io::Error) -> Problem {
    let problem = Problem::new(Code::CommandLine, "standard output cannot be written");
    problem.note(error.to_string()).help("free some space, or write somewhere else")
}

/// The exit code of a class of problems.
pub(crate) fn exit_code(class: Class) -> ExitCode {
    ExitCode::from(class.exit_code())
}
