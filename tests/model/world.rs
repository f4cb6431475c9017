//! Two checkouts on disk, hoist called in them, and what it left compared with
//! what the oracle says.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::damage::{befall, files_below};
use crate::event::{CHECKOUTS, Call, Damage, Edit, Event};
use crate::image::{PUSH, ended, last_events, published};
use crate::oracle::{Fate, Oracle, Step};
use crate::project::{Out, Project};
use crate::tree::{How, Node, Tree, touch};

/// A call of hoist that has not ended by then hangs.
const PATIENCE: Duration = Duration::from_mins(2);

/// How hoist ends that was interrupted.
const INTERRUPTED: i32 = 130;

/// One directory of the project.
#[derive(Clone, Debug)]
struct Checkout {
    project: Project,
    sources: Tree,
}

/// The hoist that is called.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    /// Whether the kernel has what a sandbox needs.
    pub(crate) has_sandbox: bool,
}

impl Program {
    /// Tries what it can do here.
    pub(crate) fn new(path: PathBuf) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let release = "target \"t\" { run \"true\"; inputs \"release.kdl\"; sandbox; }\n";
        fs::write(directory.path().join("release.kdl"), release).expect("it can be written");
        let mut command = Command::new(&path);
        command.args(["run", "t"]).current_dir(&directory).env("HOIST_CACHE_DIR", directory.path().join("c"));
        let output = command.output().expect("hoist can be started");
        let refused = String::from_utf8_lossy(&output.stderr).contains("hoist::run::no_sandbox");
        Self { path, has_sandbox: !refused }
    }
}

/// All that a story happens to.
pub(crate) struct World {
    directory: TempDir,
    program: Program,
    checkouts: Vec<Checkout>,
    environment: BTreeMap<String, String>,
    /// Keys of the steps that are known to lie in the cache.
    done: HashSet<u64>,
    /// Whether a file of the cache was damaged, which may show much later.
    damaged: bool,
    /// How much of the log was read.
    read: usize,
}

/// A call that was made.
struct Called {
    child: Child,
    /// Targets that it has to make.
    goals: Vec<String>,
    image: bool,
    said: PathBuf,
}

impl World {
    pub(crate) fn new(program: &Program, project: &Project) -> Self {
        let directory = tempfile::Builder::new().prefix("hoist-model-").tempdir();
        let checkout = Checkout { project: project.clone(), sources: Tree::default() };
        let mut world = Self {
            directory: directory.expect("a directory can be made"),
            program: program.clone(),
            checkouts: vec![checkout; CHECKOUTS.len()],
            environment: BTreeMap::new(),
            done: HashSet::new(),
            damaged: false,
            read: 0,
        };
        fs::write(world.log(), "").expect("it can be written");
        fs::create_dir(world.log().with_extension("d")).expect("it can be made");
        for at in 0..CHECKOUTS.len() {
            let root = world.root(at);
            fs::create_dir(&root).expect("it can be made");
            world.git(at, &["init", "--quiet", "--initial-branch", "main"]);
            fs::write(root.join(".gitignore"), "*.ign\n/out/\n/dist/\n").expect("it can be written");
            world.git(at, &["commit", "--quiet", "--allow-empty", "--message", "Begin"]);
            for path in ["src/f0", "src/f1", "src/f2", "src/d0/a.txt", "src/d1/c.txt", "mix/a.txt"] {
                let node = Node::file(format!("{}\n", &path[path.len() - 1..]));
                world.checkouts[at].sources.put(&root, path, node, How::InPlace);
            }
            world.declare(at);
        }
        world
    }

    fn root(&self, at: usize) -> PathBuf {
        self.directory.path().join(CHECKOUTS[at])
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn log_name(&self) -> String {
        self.log().to_string_lossy().into_owned()
    }

    fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    /// The release.kdl of a checkout.
    pub(crate) fn text(&self, at: usize) -> String {
        self.checkouts[at].project.text(&self.log_name())
    }

    /// Writes it, and removes what is no target's output any more from among
    /// the sources.
    fn declare(&self, at: usize) {
        fs::write(self.root(at).join("release.kdl"), self.text(at)).expect("it can be written");
        let Checkout { project, sources } = &self.checkouts[at];
        let made: Vec<String> = mixed(project);
        for entry in fs::read_dir(self.root(at).join("mix")).into_iter().flatten().flatten() {
            let path = format!("mix/{}", entry.file_name().to_string_lossy());
            if !made.contains(&path) && !sources.0.contains_key(&path) {
                drop(fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path())));
            }
        }
    }

    fn git(&self, at: usize, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Tester", "-c", "user.email=tester@example.com"]).args(arguments);
        command.current_dir(self.root(at)).env("GIT_CONFIG_GLOBAL", "/dev/null");
        assert!(command.status().expect("git is installed").success(), "git {arguments:?}");
    }

    /// Lets something happen.
    ///
    /// # Errors
    /// What hoist did wrong.
    pub(crate) fn happen(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Edit(at, edit) => self.edit(*at, edit),
            Event::Environment(name, Some(value)) => {
                drop(self.environment.insert(name.clone(), value.clone()));
            }
            Event::Environment(name, None) => drop(self.environment.remove(name)),
            Event::Cache(number, damage) => {
                befall(&self.cache(), *number, *damage);
                self.damaged = true;
            }
            Event::Run(calls) => return self.run(calls),
        }
        Ok(())
    }

    fn edit(&mut self, at: usize, edit: &Edit) {
        let root = self.root(at);
        let other = self.checkouts[(at + 1) % CHECKOUTS.len()].clone();
        let Checkout { project, sources } = &mut self.checkouts[at];
        match edit {
            Edit::Write(path, node, how) if sources.has_room(path) => {
                sources.put(&root, path, node.clone(), *how);
            }
            Edit::Remove(path) if sources.0.contains_key(path) => sources.remove(&root, path),
            Edit::Rename(from, to) if sources.0.contains_key(from) => {
                let node = sources.0[from].clone();
                let mut after = sources.clone();
                after.0.remove(from);
                if after.has_room(to) {
                    sources.remove(&root, from);
                    sources.put(&root, to, node, How::Renamed);
                }
            }
            Edit::Touch(path, how) => touch(&root.join(path), *how),
            Edit::Executable(path) => {
                if let Some(Node::File { text, executable }) = sources.0.get(path).cloned() {
                    let node = Node::File { text, executable: !executable };
                    sources.put(&root, path, node, How::InPlace);
                }
            }
            Edit::Split(path) if sources.0.contains_key(path) => {
                sources.remove(&root, path);
                sources.put(&root, &format!("{path}/in.txt"), Node::file("s\n"), How::InPlace);
            }
            Edit::Swap(one, other) => sources.swap(&root, one, other),
            Edit::Burst(path, number) if sources.has_room(path) => {
                for at in 0..16 {
                    let node = Node::file(format!("{number:016x}{at:x}\n"));
                    sources.put(&root, path, node, How::InPlace);
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
            Edit::Burst(..) | Edit::Write(..) | Edit::Remove(_) | Edit::Rename(..) | Edit::Split(_) => {}
            Edit::Output(number, damage) => self.harm_output(at, *number, *damage),
            Edit::Local(number, damage) => {
                befall(&root.join(".hoist"), *number, *damage);
                self.done.clear();
            }
            Edit::Declare(change) => {
                project.change(change);
                self.declare(at);
            }
            Edit::Checkout => {
                sources.become_like(&root, &other.sources);
                *project = other.project;
                self.declare(at);
            }
            Edit::Commit => {
                self.git(at, &["add", "--all"]);
                self.git(at, &["commit", "--quiet", "--allow-empty", "--message", "Go on"]);
            }
        }
    }

    fn harm_output(&self, at: usize, number: u64, damage: Damage) {
        let root = self.root(at);
        let targets = self.checkouts[at].project.targets.iter();
        let paths = targets.flat_map(|target| target.values().iter().filter_map(|value| target.path(*value)));
        let paths: Vec<String> = paths.filter(|path| root.join(path).symlink_metadata().is_ok()).collect();
        if let Some(path) = paths.get(usize::try_from(number).unwrap_or(0) % paths.len().max(1)) {
            // Beside a file, a new one would be a source.
            if path.ends_with(".d") || !matches!(damage, Damage::Extra) {
                befall(&root.join(path), number >> 8, damage);
            }
        }
    }

    /// Calls hoist, and compares.
    fn run(&mut self, calls: &[Call]) -> Result<(), String> {
        let calls: Vec<&Call> =
            calls.iter().filter(|call| !self.checkouts[call.checkout].project.targets.is_empty()).collect();
        // What writes an output again while another hoist reads it is a race that
        // no key can see.
        let together = match calls[..] {
            [a, b] if a.checkout == b.checkout => {
                let anew = |call: &Call| call.force || call.no_cache;
                // So is making a link that what a killed hoist left behind makes, too.
                let left = |call: &Call| call.strike.is_some_and(|(_, kill)| kill) && self.links(a.checkout);
                !anew(a) && !anew(b) && !self.rewrites(a.checkout) && !left(a) && !left(b)
            }
            _ => true,
        };
        if !together {
            return calls.iter().try_for_each(|call| self.run(&[(*call).clone()]));
        }
        let mut called: Vec<Called> = Vec::new();
        for (number, call) in calls.iter().enumerate() {
            called.push(self.call(number, call));
        }
        for call in &calls {
            if let Some((after, edit)) = &call.meanwhile {
                std::thread::sleep(Duration::from_millis(*after));
                self.edit(call.checkout, edit);
            }
        }
        let mut codes = Vec::new();
        for (call, called) in calls.iter().zip(&mut called) {
            codes.push(wait(call, called).map_err(|why| format!("{why}\n{}", said(called)))?);
        }
        let ran = self.ran();
        let mut kept = Vec::new();
        for ((call, called), code) in calls.iter().zip(&called).zip(&codes) {
            let others = calls.iter().filter(|other| other.checkout == call.checkout).count();
            let result = self.judge(call, called, *code, &ran, others > 1);
            kept.extend(result.map_err(|why| format!("{why}\nhoist said:\n{}", said(called)))?);
        }
        self.done.extend(kept);
        Ok(())
    }

    /// Whether some target of a checkout makes its output each time.
    fn rewrites(&self, at: usize) -> bool {
        let targets = &self.checkouts[at].project.targets;
        targets.iter().any(|target| target.runs && !target.cacheable && target.out.is_some())
    }

    /// Whether some target of a checkout makes a link, which must not be there.
    fn links(&self, at: usize) -> bool {
        self.checkouts[at].project.targets.iter().any(|target| target.out == Some(Out::Link))
    }

    fn call(&self, number: usize, call: &Call) -> Called {
        let targets = &self.checkouts[call.checkout].project.targets;
        let mut goals: BTreeSet<String> =
            call.goals.iter().map(|goal| targets[goal % targets.len()].name.clone()).collect();
        let named = goals.clone();
        if call.image {
            goals.extend(
                self.checkouts[call.checkout].project.packed().map(|(target, _)| target.name.clone()),
            );
        }
        let image = call.image && self.checkouts[call.checkout].project.packed().next().is_some();
        let goals: Vec<String> = goals.into_iter().collect();
        let said = self.directory.path().join(format!("said-{number}"));
        let output = File::create(&said).expect("it can be written");
        let mut command = Command::new(&self.program.path);
        command.arg("run").args(&named).arg(format!("-j{}", call.jobs));
        if image {
            command.args([PUSH, "--allow-dirty", "--event", "branch=main"]);
        }
        let flags = [
            ("-k", call.keep_going),
            ("--force", call.force),
            ("--no-cache", call.no_cache),
            ("--sandbox", call.sandbox && self.program.has_sandbox),
        ];
        command.args(flags.iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag));
        command.env_clear().envs(&self.environment).env("HOIST_CACHE_DIR", self.cache());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.directory.path()).env("LANG", "C.UTF-8").env("TERM", "dumb");
        command.current_dir(self.root(call.checkout)).stdin(Stdio::null());
        command.stdout(output.try_clone().expect("it can be shared")).stderr(output);
        let child = command.spawn().expect("hoist can be started");
        Called { child, goals, image, said }
    }

    /// The steps that were run since this was asked last, by checkout, name, and
    /// value of the matrix.
    fn ran(&mut self) -> Vec<(String, String, String)> {
        let text = fs::read_to_string(self.log()).expect("it is there");
        let new = text[self.read..].to_owned();
        self.read = text.len();
        let line = |line: &str| {
            let mut words = line.split(' ').map(ToOwned::to_owned);
            Some((words.next()?, words.next()?, words.next()?))
        };
        new.lines().filter_map(line).collect()
    }

    /// Whether a call did what it had to; the keys of what is in the cache now.
    fn judge(
        &self,
        call: &Call,
        called: &Called,
        code: Option<i32>,
        ran: &[(String, String, String)],
        shared: bool,
    ) -> Result<Vec<u64>, String> {
        let Checkout { project, sources } = &self.checkouts[call.checkout];
        let root = self.root(call.checkout);
        let oracle = Oracle::new(project, sources, &self.environment);
        let closure = oracle.closure(&called.goals);
        let essential = oracle.essential(&closure);
        let mixed = mixed(project);
        let is_made =
            |path: &str| mixed.iter().any(|made| path == made || path.starts_with(&format!("{made}/")));
        sources.check(&root, &is_made)?;
        // What it found depends on when it looked; the next run will show.
        if call.meanwhile.is_some() && matches!(code, Some(0..=2)) {
            return Ok(Vec::new());
        }
        let fates: BTreeMap<&Step, Fate> = closure.iter().map(|step| (step, oracle.fate(step))).collect();
        // The inputs of what is left out are missed where they are looked for, which
        // they are not where all else is known to be the same.
        let left_out = |step: &&Step| !closure.contains(*step) || oracle.is_skipped(step);
        let missed = oracle.declared(&called.goals).iter().filter(left_out).cloned().collect();
        if code == Some(2) && oracle.lacks_an_input(&missed) {
            return Ok(Vec::new());
        }
        let planned = closure.iter().filter(|step| !left_out(step)).cloned().collect();
        let expected = if oracle.lacks_an_input(&planned) {
            2
        } else {
            i32::from(!fates.values().all(|fate| matches!(fate, Fate::Good(_))))
        };
        let log = self.log_name();
        let count = |step: &Step| {
            let value = step.1.unwrap_or("-");
            let same = |it: &&(String, String, String)| {
                it.0 == CHECKOUTS[call.checkout] && it.1 == step.0 && it.2 == value
            };
            ran.iter().filter(same).count()
        };
        for step in &closure {
            let target = project.target(&step.0);
            let forced = call.no_cache || call.force && called.goals.contains(&step.0);
            if oracle.is_skipped(step) && !shared && count(step) > 0 {
                return Err(format!("{step:?} ran although its condition does not hold"));
            }
            if target.runs && target.cacheable && !forced && !shared && count(step) > 0 {
                if !self.damaged && self.done.contains(&oracle.key(step, &log)) {
                    return Err(format!("{step:?} ran although nothing that it depends on is new"));
                }
                if count(step) > 1 {
                    return Err(format!("{step:?} ran twice"));
                }
            }
        }
        if call.strike.is_some() && code != Some(0) {
            let mut after = essential.iter().filter(|step| oracle.needs(step).is_empty());
            // A run that was stopped before its first step has nothing to clean up.
            let clean = || last_events(&root).iter().all(|event| event["event"] != "step-started");
            let lost = after
                .find(|step| code == Some(INTERRUPTED) && !shared && never_began(&root, step) && !clean());
            return lost.map_or(Ok(Vec::new()), |step| Err(format!("{step:?} runs whatever happens")));
        }
        // A blob of the size that it had is found to be damaged only when it is sent.
        let told = ["does not have the digest in its name", "hoist::store::digest_mismatch"];
        if self.damaged && called.image && told.iter().any(|told| said(called).contains(told)) {
            return Ok(Vec::new());
        }
        if code != Some(expected) {
            return Err(format!("hoist should have ended with {expected}, not with {code:?}"));
        }
        if expected == 2 {
            return Ok(Vec::new());
        }
        let mut kept = Vec::new();
        for (step, fate) in &fates {
            let Fate::Good(made) = fate else { continue };
            let certain = expected == 0 || call.keep_going || essential.contains(*step);
            if !certain || oracle.is_skipped(step) {
                continue;
            }
            let target = project.target(&step.0);
            if let Some(path) = target.path(step.1) {
                same_as_made(&root, &path, target.out, made)?;
            }
            if target.runs && target.cacheable && !call.no_cache {
                kept.push(oracle.key(step, &log));
            } else if target.runs && !shared && count(step) != 1 {
                return Err(format!("{step:?} ran {} times, and always runs", count(step)));
            }
        }
        if called.image && code == Some(0) && !shared {
            same_as_packed(&root, &oracle)?;
        }
        Ok(kept)
    }
}

/// Whether the last run dropped a step.
fn never_began(root: &Path, (name, value): &Step) -> bool {
    let name = value.map_or_else(|| name.clone(), |value| format!("{name}[p={value}]"));
    ended(root, &name).is_some_and(|event| event["outcome"] == "not-run")
}

/// Whether the image that was published holds what was packed into it.
fn same_as_packed(root: &Path, oracle: &Oracle<'_>) -> Result<(), String> {
    let mut packed = Tree::default();
    for (target, value) in oracle.project.packed() {
        if let Fate::Good(made) = oracle.fate(&(target.name.clone(), value)) {
            packed.0.extend(made.0);
        }
    }
    let found = published(root)?;
    if found == packed {
        return Ok(());
    }
    Err(format!("wrong image: there should be {:?}, there is {:?}", packed.0, found.0))
}

/// The outputs of a project that lie among sources.
fn mixed(project: &Project) -> Vec<String> {
    let targets = project.targets.iter().filter(|target| target.out == Some(Out::Mixed));
    targets.flat_map(|target| target.values().iter().filter_map(|value| target.path(*value))).collect()
}

/// Whether what lies at an output's path is what was to be made.
fn same_as_made(root: &Path, path: &str, out: Option<Out>, made: &Tree) -> Result<(), String> {
    let full = root.join(path);
    let mut found = BTreeMap::new();
    for file in files_below(&full) {
        let metadata = file.symlink_metadata().map_err(|error| format!("{}: {error}", file.display()))?;
        let below = file.strip_prefix(root).expect("it lies below").to_string_lossy().into_owned();
        let node = if metadata.is_symlink() {
            Node::Link(fs::read_link(&file).unwrap_or_default().to_string_lossy().into_owned())
        } else {
            let text = String::from_utf8_lossy(&fs::read(&file).unwrap_or_default()).into_owned();
            if metadata.nlink() != 1 {
                return Err(format!("{below} has another name: a build could write through it"));
            }
            Node::File { text, executable: metadata.mode() & 0o111 != 0 }
        };
        found.insert(below, node);
    }
    let directory = full.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    if found == made.0 && directory == (out == Some(Out::Directory)) {
        return Ok(());
    }
    Err(format!("wrong output: {path} should be {:?}, it is {found:?}", made.0))
}

/// Waits for the end, which a strike may hasten.
fn wait(call: &Call, called: &mut Called) -> Result<Option<i32>, String> {
    let started = Instant::now();
    let mut strike = call.strike;
    loop {
        if let Some(status) = called.child.try_wait().expect("its state can be asked") {
            return Ok(status.code());
        }
        if let Some((after, kill)) = strike
            && started.elapsed() >= Duration::from_millis(after)
        {
            let signal = if kill { rustix::process::Signal::KILL } else { rustix::process::Signal::INT };
            let id = i32::try_from(called.child.id()).ok().and_then(rustix::process::Pid::from_raw);
            let _ = id.map(|id| rustix::process::kill_process(id, signal));
            strike = None;
        }
        if started.elapsed() > PATIENCE {
            drop(called.child.kill());
            return Err("hoist hangs".to_owned());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a call printed.
fn said(called: &Called) -> String {
    fs::read_to_string(&called.said).unwrap_or_default()
}
