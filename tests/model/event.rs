//! What may happen to a project, drawn by chance; each happening means something
//! in every state, so that a story stays one when parts of it are left out.

use crate::project::{Out, Project, Target, Use};
use crate::random::Random;
use crate::tree::{How, Node};

/// Two directories of one project that share a cache.
pub(crate) const CHECKOUTS: [&str; 2] = ["a", "b"];

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// In a checkout.
    Edit(usize, Edit),
    /// A variable of the environment is set or removed.
    Environment(String, Option<String>),
    /// Something befalls the file of the cache that this number falls on.
    Cache(u64, Damage),
    /// hoist is called, or two are at once.
    Run(Vec<Call>),
}

/// What a user does in a checkout.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Write(String, Node, How),
    Remove(String),
    Rename(String, String),
    Touch(String, How),
    Executable(String),
    /// A file becomes a directory with a file.
    Split(String),
    /// Two files or directories take each other's place.
    Swap(String, String),
    /// A file is written several times, each time with a text of the same size that
    /// it did not have before: some share a moment of the clock.
    Burst(String, u64),
    /// Something befalls the output that this number falls on.
    Output(u64, Damage),
    /// Something befalls a file below `.hoist`.
    Local(u64, Damage),
    Declare(Change),
    /// The files and the declarations become those of the other checkout.
    Checkout,
    Commit,
}

/// What befalls a file that is not the user's to write.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Damage {
    Truncate,
    Flip,
    Append,
    Delete,
    /// Another content of the same size, with the old time.
    Disguise,
    /// The executable bit.
    Mode,
    /// A directory takes its place.
    Directory,
    /// A link to a source takes its place.
    Link,
    /// A new file beside it.
    Extra,
}

/// A change of release.kdl; targets are meant by a number that falls on one.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Salt(usize, usize),
    Env(usize, Option<String>),
    Default(usize, String),
    Names(usize, Vec<usize>),
    Uses(usize, Vec<Use>),
    Out(usize, Option<Out>),
    Rename(usize),
    Matrix(usize),
    Pass(usize),
    Slow(usize),
    Need(usize, usize),
    Finally(usize, usize),
    When(usize, Option<usize>),
    Flaky(usize),
    Add(Target),
    Remove(usize),
}

/// One call of hoist.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) checkout: usize,
    /// Numbers that fall on targets.
    pub(crate) goals: Vec<usize>,
    pub(crate) jobs: usize,
    pub(crate) keep_going: bool,
    pub(crate) force: bool,
    pub(crate) no_cache: bool,
    pub(crate) sandbox: bool,
    /// Whether the image is published, too.
    pub(crate) image: bool,
    /// After how many milliseconds it is struck, and whether it is killed.
    pub(crate) strike: Option<(u64, bool)>,
    /// After how many milliseconds something is edited that it may read.
    pub(crate) meanwhile: Option<(u64, Edit)>,
}

const FILES: [&str; 15] = [
    "src/f0",
    "src/f1",
    "src/f2",
    "src/f0/in.txt",
    "src/d0/a.txt",
    "src/d0/b.txt",
    "src/d0/sub/a.txt",
    "src/d0/sub/c.txt",
    "src/d0/x.ign",
    "src/d1/a.txt",
    "src/d1/c.txt",
    "src/d1/y.ign",
    "mix/a.txt",
    "mix/b.txt",
    "src/d1/n.md",
];
const LINKS: [(&str, &str); 5] = [
    ("src/f1", "f0"),
    ("src/d0/b.txt", "../f2"),
    ("src/d1/a.txt", "c.txt"),
    ("src/f2", "nowhere"),
    ("mix/a.txt", "../src/d0/a.txt"),
];
const TEXTS: [&str; 9] = ["", "a\n", "b\n", "aa\n", "ab\n", "ac\n", "a\nb\n", "c", "d\n"];
const DIRECTORIES: [&str; 3] = ["src/d0", "src/d1", "mix"];
const LITERALS: [&str; 4] = ["src/f0", "src/f1", "src/f2", "src/d0/a.txt"];

fn text(random: &mut Random) -> String {
    if random.once_in(14) { "a!\n".to_owned() } else { (*random.pick(&TEXTS)).to_owned() }
}

fn how(random: &mut Random) -> How {
    let all = [How::InPlace, How::Renamed, How::SameTime, How::Twin, How::Past, How::Future];
    *random.pick(&all)
}

fn source_use(random: &mut Random) -> Use {
    let literal = (*random.pick(&LITERALS)).to_owned();
    let directory = (*random.pick(&DIRECTORIES)).to_owned();
    match random.below(8) {
        0 | 1 => Use::Cat(literal),
        2 => Use::First(literal),
        3 => Use::Mode(literal),
        4 => Use::Refuse(literal),
        5 | 6 => Use::Glob(directory),
        _ => Use::Deep("src".to_owned()),
    }
}

/// A way to read what an earlier target makes.
fn made_use(random: &mut Random, target: &Target) -> Option<Use> {
    let path = target.path(*random.pick(target.values()))?;
    Some(match target.out? {
        Out::Directory => Use::Glob(path),
        Out::Mixed => Use::Glob("mix".to_owned()),
        Out::Link => return None,
        Out::File | Out::Executable => match random.below(4) {
            0 => Use::First(path),
            1 => Use::Mode(path),
            _ => Use::Cat(path),
        },
    })
}

fn out(random: &mut Random) -> Option<Out> {
    *random.pick(&[
        None,
        Some(Out::File),
        Some(Out::File),
        Some(Out::File),
        Some(Out::Executable),
        Some(Out::Link),
        Some(Out::Directory),
        Some(Out::Directory),
        Some(Out::Mixed),
    ])
}

/// A target that reads sources, and what some of those before it make.
fn target(random: &mut Random, name: String, before: &[Target]) -> Target {
    let kind = random.below(10);
    let mut uses: Vec<Use> = (0..=random.below(2)).map(|_| source_use(random)).collect();
    let mut needs = Vec::new();
    for _ in 0..random.below(3).min(before.len()) {
        let other = random.pick(before);
        uses.extend(made_use(random, other));
        if random.once_in(3) || kind < 2 {
            needs.push(other.name.clone());
        }
    }
    Target {
        name,
        runs: kind != 0,
        cacheable: kind > 1,
        needs,
        uses,
        out: out(random),
        env: random.once_in(4).then(|| "e".to_owned()),
        vars: if random.once_in(3) { vec![random.below(2)] } else { Vec::new() },
        matrix: random.once_in(6),
        pass: random.once_in(5),
        slow: random.once_in(6),
        finally: Vec::new(),
        when: random.once_in(8).then(|| random.below(2)),
        flaky: random.once_in(10),
        salt: 0,
    }
}

/// A project to begin with.
pub(crate) fn project(random: &mut Random) -> Project {
    let mut project = Project { vars: vec!["x".to_owned(), "y".to_owned()], targets: Vec::new(), next: 0 };
    for _ in 0..3 + random.below(6) {
        let name = format!("t{}", project.next);
        project.next += 1;
        let target = target(random, name, &project.targets);
        project.targets.push(target);
    }
    for _ in 0..random.below(3) {
        project.change(&Change::Finally(random.below(1000), random.below(1000)));
    }
    project.repair();
    project
}

/// What happens in so many rounds: some edits, then a run.
pub(crate) fn story(random: &mut Random, rounds: usize) -> Vec<Event> {
    let mut events = Vec::new();
    // Where the cache was damaged, some steps may run that need not.
    let sound = random.once_in(2);
    for _ in 0..rounds {
        for _ in 0..random.below(4) {
            let event = event(random);
            events.extend((!sound || !matches!(event, Event::Cache(..))).then_some(event));
        }
        events.push(Event::Run(calls(random)));
    }
    events
}

fn event(random: &mut Random) -> Event {
    let checkout = random.below(2) * random.below(2);
    match random.below(20) {
        0 => {
            let value = (!random.once_in(3)).then(|| (*random.pick(&["p", "q"])).to_owned());
            Event::Environment((*random.pick(&["V0", "V1", "PASSED", "NOISE"])).to_owned(), value)
        }
        1 => Event::Cache(random.next(), damage(random, 5)),
        _ => Event::Edit(checkout, edit(random)),
    }
}

/// One of the first so many kinds of damage.
fn damage(random: &mut Random, kinds: usize) -> Damage {
    let all = [
        Damage::Truncate,
        Damage::Flip,
        Damage::Append,
        Damage::Delete,
        Damage::Disguise,
        Damage::Mode,
        Damage::Directory,
        Damage::Link,
        Damage::Extra,
    ];
    all[random.below(kinds)]
}

fn edit(random: &mut Random) -> Edit {
    let path = (*random.pick(&FILES)).to_owned();
    match random.below(21) {
        0..=4 => {
            let node = Node::File { text: text(random), executable: random.once_in(6) };
            Edit::Write(path, node, how(random))
        }
        5 => {
            let (path, to) = random.pick(&LINKS);
            Edit::Write((*path).to_owned(), Node::Link((*to).to_owned()), How::InPlace)
        }
        6 => Edit::Remove(path),
        7 => Edit::Rename(path, (*random.pick(&FILES)).to_owned()),
        8 => Edit::Touch(path, how(random)),
        9 => Edit::Executable(path),
        10 => Edit::Split((*random.pick(&LITERALS)).to_owned()),
        11..=13 => Edit::Output(random.next(), damage(random, 9)),
        14 => Edit::Local(random.next(), damage(random, 5)),
        15 => Edit::Checkout,
        16 => Edit::Commit,
        17 => {
            let pairs = [("src/d0", "src/d1"), ("src/f0", "src/f1"), ("src/d0/a.txt", "src/d1/a.txt")];
            let (one, other) = random.pick(&pairs);
            Edit::Swap((*one).to_owned(), (*other).to_owned())
        }
        _ => Edit::Declare(change(random)),
    }
}

fn change(random: &mut Random) -> Change {
    let which = random.below(1000);
    match random.below(18) {
        0 | 1 => Change::Salt(which, random.below(3)),
        2 => Change::Env(which, (!random.once_in(3)).then(|| (*random.pick(&["e", "f"])).to_owned())),
        3 => Change::Default(random.below(2), (*random.pick(&["x", "y", "z"])).to_owned()),
        4 => Change::Names(which, if random.once_in(2) { vec![0, 1] } else { Vec::new() }),
        5 | 6 => Change::Uses(which, (0..=random.below(2)).map(|_| source_use(random)).collect()),
        7 | 8 => Change::Out(which, out(random)),
        9 => Change::Rename(which),
        10 => Change::Matrix(which),
        11 => {
            if random.once_in(2) {
                Change::Pass(which)
            } else {
                Change::Slow(which)
            }
        }
        12 => Change::Need(which, random.below(1000)),
        13 => Change::Add(target(random, String::new(), &[])),
        14 => Change::Finally(which, random.below(1000)),
        15 => Change::When(which, (!random.once_in(3)).then(|| random.below(2))),
        16 => Change::Flaky(which),
        _ => Change::Remove(which),
    }
}

fn calls(random: &mut Random) -> Vec<Call> {
    let mut call = |at: usize| Call {
        checkout: at,
        // Mostly the same: much is known then from the last run of the same goals.
        goals: match random.below(3) {
            0 => (0..=random.below(3)).map(|_| random.below(1000)).collect(),
            1 => vec![0, 1, 2, 3, 4, 5, 6, 7],
            _ => vec![2, 5],
        },
        jobs: 1 + random.below(4),
        keep_going: random.once_in(3),
        force: random.once_in(10),
        no_cache: random.once_in(20),
        sandbox: random.once_in(12),
        image: random.once_in(16),
        strike: random.once_in(8).then(|| (random.next() % 120, !random.once_in(3))),
        meanwhile: None,
    };
    let (first, second) = (call(0), call(1));
    let edit = Edit::Burst((*random.pick(&LITERALS)).to_owned(), random.next());
    let meanwhile = Some((random.next() % 60, edit));
    match random.below(12) {
        0 => vec![Call { strike: None, ..first }, Call { strike: None, ..second }],
        1 => vec![first, second],
        6 => vec![Call { strike: None, meanwhile, ..first }],
        2 => vec![first, Call { checkout: 0, ..second }],
        3..=5 => vec![second],
        _ => vec![first],
    }
}

impl Project {
    /// Changes the declarations.
    pub(crate) fn change(&mut self, change: &Change) {
        let count = self.targets.len();
        if count == 0 && !matches!(change, Change::Add(_) | Change::Default(..)) {
            return;
        }
        match change {
            Change::Salt(at, salt) => self.targets[at % count].salt = *salt,
            Change::Env(at, value) => self.targets[at % count].env.clone_from(value),
            Change::Default(at, value) => self.vars[*at].clone_from(value),
            Change::Names(at, vars) => self.targets[at % count].vars.clone_from(vars),
            Change::Uses(at, uses) => {
                let target = &mut self.targets[at % count];
                target.uses.truncate(1);
                target.uses.extend(uses.iter().cloned());
            }
            Change::Out(at, out) => self.moved(at % count, |target| target.out = *out),
            Change::Rename(at) => {
                let (old, new) = (self.targets[at % count].name.clone(), format!("t{}", self.next));
                self.next += 1;
                self.moved(at % count, |target| target.name.clone_from(&new));
                let targets = self.targets.iter_mut();
                for name in targets.flat_map(|target| target.needs.iter_mut().chain(&mut target.finally)) {
                    if *name == old {
                        name.clone_from(&new);
                    }
                }
            }
            Change::Matrix(at) => self.moved(at % count, |target| target.matrix = !target.matrix),
            Change::Pass(at) => self.targets[at % count].pass ^= true,
            Change::Slow(at) => self.targets[at % count].slow ^= true,
            Change::Need(at, other) => {
                let at = at % count;
                let name = at.checked_sub(1).map(|_| self.targets[other % at].name.clone());
                self.targets[at].needs.extend(name);
            }
            // A second time takes it away.
            Change::Finally(at, other) => {
                let after: Vec<_> = self.targets.iter().skip(at % count + 1).collect();
                let after = after.get(other % after.len().max(1)).map(|target| target.name.clone());
                let finally = &mut self.targets[at % count].finally;
                match after.as_ref().and_then(|name| finally.iter().position(|it| it == name)) {
                    Some(known) => drop(finally.remove(known)),
                    None => finally.extend(after),
                }
            }
            Change::When(at, var) => self.targets[at % count].when = *var,
            Change::Flaky(at) => self.targets[at % count].flaky ^= true,
            Change::Add(target) => {
                let name = format!("t{}", self.next);
                self.next += 1;
                self.targets.push(Target { name, ..target.clone() });
            }
            Change::Remove(at) => drop(self.targets.remove(at % count)),
        }
        self.repair();
    }

    /// Changes where a target writes; who reads that reads it there.
    fn moved(&mut self, at: usize, change: impl FnOnce(&mut Target)) {
        let old: Vec<_> =
            self.targets[at].values().iter().map(|value| self.targets[at].path(*value)).collect();
        change(&mut self.targets[at]);
        let new = self.targets[at].path(self.targets[at].values()[0]);
        for it in self.targets.iter_mut().flat_map(|target| &mut target.uses) {
            if let (Use::Cat(path) | Use::First(path) | Use::Mode(path) | Use::Glob(path), Some(new)) =
                (&*it, &new)
                && old.iter().flatten().any(|old| old == path)
            {
                *it = if new.ends_with(".d") { Use::Glob(new.clone()) } else { Use::Cat(new.clone()) };
            }
        }
    }

    /// Leaves out what names something that is not there, or not before it.
    fn repair(&mut self) {
        let mut paths: Vec<String> = Vec::new();
        let mut names: Vec<String> = Vec::new();
        let mut mixed = false;
        let mut makers: Vec<(String, String)> = Vec::new();
        for target in &mut self.targets {
            target.needs.retain(|need| names.contains(need));
            target.uses.retain(|it| match it {
                Use::Cat(path) | Use::First(path) | Use::Mode(path) | Use::Refuse(path) | Use::Glob(path) => {
                    !path.starts_with("out/") || paths.contains(path)
                }
                Use::Deep(_) => true,
            });
            if target.uses.is_empty() {
                target.uses.push(Use::Cat("src/f0".to_owned()));
            }
            mixed |= target.uses.contains(&Use::Glob("mix".to_owned()));
            if target.out == Some(Out::Mixed) && std::mem::replace(&mut mixed, true) {
                target.out = Some(Out::File);
            }
            if !target.runs {
                target.out = None;
            }
            for it in target.uses.iter().filter(|_| target.runs && !target.cacheable) {
                let read = it.pattern();
                let read = read.trim_end_matches("/*.txt");
                let maker = makers.iter().filter(|(path, _)| path.starts_with(read));
                target.needs.extend(maker.map(|(_, name)| name.clone()));
            }
            target.needs.sort();
            target.needs.dedup();
            for value in target.values() {
                paths.extend(target.path(*value));
                makers.extend(target.path(*value).map(|path| (path, target.name.clone())));
            }
            names.push(target.name.clone());
        }
        for at in 0..self.targets.len() {
            let later: Vec<_> = self.targets.iter().skip(at + 1).map(|target| target.name.clone()).collect();
            self.targets[at].finally.retain(|name| later.contains(name));
            // What lies there of a target that is left out depends on all that was before.
            let target = &self.targets[at];
            let read = |path: &String| self.targets.iter().any(|other| other.reads(path));
            let paths: Vec<_> = target.values().iter().filter_map(|value| target.path(*value)).collect();
            if target.out == Some(Out::Mixed) || paths.iter().any(read) {
                self.targets[at].when = None;
            }
        }
    }
}
