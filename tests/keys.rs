//! A key changes if and only if a declared part does, and plan and keys are the
//! same on every machine: properties of any targets, against `docs/cache-key.md`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hoist::cache::{Key, Trace};
use hoist::diagnostic::Sources;
use hoist::facts::{Environment, Host, KnownFiles, Links, Project, Question, gather, load};
use hoist::plan::{Goals, Options, Plan, build, select};
use indexmap::IndexMap;
use jiff::Timestamp;
use proptest::prelude::*;
use tempfile::TempDir;

/// A project with one target that has a key, and others that have nothing to do
/// with it.
#[derive(Clone, Debug, PartialEq)]
struct Case {
    // What is declared of the target, and so a part of its key.
    script: String,
    argument: String,
    dir: &'static str,
    env: BTreeMap<&'static str, String>,
    /// A variable that the script names, by its default.
    named: String,
    outputs: Vec<String>,
    tool: String,
    /// Files that its patterns match, and whether they can be executed.
    inputs: BTreeMap<&'static str, (String, bool)>,
    // What is not.
    about: String,
    other_var: String,
    other_target: String,
    limits: String,
    name: &'static str,
    project: &'static str,
    layout: Layout,
    /// Files that nothing declares.
    others: BTreeMap<&'static str, String>,
    caller: Caller,
}

/// How the file is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    Lines,
    Comments,
    OneLine,
}

/// The machine and who calls.
#[derive(Clone, Debug, PartialEq)]
struct Caller {
    environment: BTreeMap<&'static str, String>,
    user: &'static str,
    processors: usize,
    now: i64,
    event: Option<&'static str>,
    /// Files are made in this order: from the first, or from the last.
    backwards: bool,
}

impl Case {
    fn text(&self) -> String {
        let env: String = self.env.iter().map(|(name, value)| format!(" {name}=\"{value}\"")).collect();
        let env = if env.is_empty() { String::new() } else { format!("env{env}\n") };
        // Patterns are relative to the directory.
        let up = if self.dir == "." { "" } else { "../" };
        let outputs: String = self.outputs.iter().map(|path| format!(" \"{up}{path}\"")).collect();
        let outputs = if outputs.is_empty() { String::new() } else { format!("outputs{outputs}\n") };
        let target = format!(
            "run \"echo $named; {}\"\nrun \"printf\" \"{}\"\ndir \"{}\"\n{env}{outputs}tool \"echo {}\"\n\
             inputs \"{up}src/**\" \"!{up}src/not/**\"\npass-env \"PASSED\"\nabout \"{}\"\n{}",
            self.script, self.argument, self.dir, self.tool, self.about, self.limits
        );
        // `about` is a property of the node, not a node in its block.
        let about = format!("about \"{}\"\n", self.about);
        let target = target.replace(&about, "");
        let body = match self.layout {
            Layout::Lines => target,
            Layout::Comments => target.replace('\n', " // why\n\n/* and */ "),
            Layout::OneLine => target.trim_end().replace('\n', "; ") + ";",
        };
        format!(
            "project \"{}\"\nvar \"named\" \"{}\"\nvar \"other\" \"{}\"\n{}\ntarget \"{}\" about=\"{}\" {{\n{body}\n}}\n\
             target \"clean\" {{ run \"true\"; }}\npool \"p\" 1\n",
            self.project, self.named, self.other_var, self.other_target, self.name, self.about
        )
    }

    fn write(&self, root: &Path) {
        let inputs = self.inputs.iter().map(|(path, (text, executable))| (*path, text.as_str(), *executable));
        let others = self.others.iter().map(|(path, text)| (*path, text.as_str(), false));
        let text = self.text();
        let mut files: Vec<(&str, &str, bool)> = inputs.chain(others).collect();
        files.extend([("release.kdl", text.as_str(), false), (".gitignore", "*.log\n", false)]);
        if self.caller.backwards {
            files.reverse();
        }
        for (path, text, executable) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))
                .unwrap();
        }
        fs::create_dir_all(root.join("sub")).unwrap();
    }

    /// The plan of the target, and its key.
    fn plan(&self) -> (Plan, Key) {
        let directory = TempDir::new().unwrap();
        let root = directory.path().join("somewhere");
        self.write(&root);
        let mut variables: BTreeMap<String, String> =
            self.caller.environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        variables.entry("PATH".to_owned()).or_insert_with(|| std::env::var("PATH").unwrap());
        let environment = Environment::from_iter(variables);
        let now = Timestamp::from_second(self.caller.now).unwrap();
        let mut host = Host::fixed(&root, environment, now);
        self.caller.user.clone_into(&mut host.user);
        host.processors = self.caller.processors;
        let mut sources = Sources::new();
        let project = Project::find(&host, None).unwrap();
        let release =
            load(&project, &mut sources).unwrap_or_else(|problems| panic!("{problems:#?}\n{}", self.text()));
        let source = sources.add("command line", self.name);
        let span = hoist::diagnostic::Span::new(source, 0..self.name.len());
        let goals = Goals::Named(vec![hoist::diagnostic::Spanned::new(self.name.to_owned(), span)]);
        let selection = select(&release, &goals, &Links::default()).unwrap();
        let question = Question {
            needs: &selection.needs,
            known: &KnownFiles::new(),
            overrides: &IndexMap::new(),
            event: self.caller.event,
            waiting: &|_| (),
        };
        let facts =
            gather(&host, &project, &release, &question).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let plan = build(&release, &facts, &selection, &Options::default()).unwrap();
        let step = plan.steps.iter().find(|step| step.goal).unwrap();
        let key = Trace::new(&step.id, &step.definition, []).key();
        (plan, key)
    }
}

/// A change of a case, and whether it is a change of something that is declared.
type Change = (&'static str, bool, fn(&mut Case));

const CHANGES: &[Change] = &[
    ("the script", true, |case| case.script.push('x')),
    ("an argument", true, |case| case.argument.push('x')),
    ("the directory", true, |case| case.dir = if case.dir == "." { "sub" } else { "." }),
    ("the value of a variable that is set", true, |case| drop(case.env.insert("A", "changed".to_owned()))),
    ("another variable that is set", true, |case| drop(case.env.insert("NEW", String::new()))),
    ("a variable that is set no more", true, |case| case.env = BTreeMap::from([("ONLY", "1".to_owned())])),
    ("a variable that the script names", true, |case| case.named.push('x')),
    ("an output", true, |case| case.outputs.push("out/new".to_owned())),
    ("what a tool prints", true, |case| case.tool.push('x')),
    ("the content of an input", true, |case| case.inputs.get_mut("src/a").unwrap().0.push('x')),
    ("an input that becomes executable", true, |case| case.inputs.get_mut("src/a").unwrap().1 ^= true),
    ("an input that is new", true, |case| drop(case.inputs.insert("src/new/deep", (String::new(), false)))),
    ("an input that is gone", true, |case| drop(case.inputs.remove("src/b"))),
    ("an input that has another name", true, |case| {
        let file = case.inputs.remove("src/b").unwrap();
        case.inputs.insert("src/c", file);
    }),
    ("two inputs that are exchanged", true, |case| {
        let (a, b) = (case.inputs["src/a"].clone(), case.inputs["src/b"].clone());
        case.inputs.extend([("src/a", b), ("src/b", a)]);
    }),
    ("what it is about", false, |case| case.about.push('x')),
    ("a variable that nothing names", false, |case| case.other_var.push('x')),
    ("another target", false, |case| {
        case.other_target.push_str("target \"more\" { run \"x\"; needs \"clean\"; }");
    }),
    ("limits and conditions", false, |case| {
        case.limits.push_str(
            "timeout \"7m\"\nretries 3\npool \"p\"\nfinally \"clean\"\nconfirm \"Really?\"\nwhen os=\"linux\"\n",
        );
    }),
    ("the name", false, |case| case.name = "renamed"),
    ("the project's name", false, |case| case.project = "other"),
    ("comments", false, |case| case.layout = Layout::Comments),
    ("lines", false, |case| case.layout = Layout::OneLine),
    ("a file that nothing declares", false, |case| drop(case.others.insert("other", "x".to_owned()))),
    ("a file that a pattern takes away", false, |case| {
        drop(case.others.insert("src/not/in", "x".to_owned()));
    }),
    ("a file that is ignored", false, |case| drop(case.others.insert("src/x.log", "x".to_owned()))),
    ("who calls", false, |case| case.caller.user = "someone"),
    ("the number of processors", false, |case| case.caller.processors = 64),
    ("the time", false, |case| case.caller.now += 1_000_000),
    ("the event", false, |case| case.caller.event = Some("tag=v1.2.3")),
    ("the order in which files were made", false, |case| case.caller.backwards ^= true),
    ("the caller's home", false, |case| drop(case.caller.environment.insert("HOME", "/other".to_owned()))),
    ("the caller's language", false, |case| drop(case.caller.environment.insert("LANG", "de_AT".to_owned()))),
    ("the caller's environment", false, |case| drop(case.caller.environment.insert("A", "outer".to_owned()))),
    ("a variable that is passed", false, |case| {
        drop(case.caller.environment.insert("PASSED", "s".to_owned()));
    }),
    ("a variable of the caller that has the name of a `var`", false, |case| {
        case.caller.environment.insert("named", "outer".to_owned());
    }),
];

fn word() -> impl Strategy<Value = String> {
    "[a-z0-9 _.-]{0,8}"
}

fn case() -> impl Strategy<Value = Case> {
    let declared = (
        word(),
        word(),
        prop::sample::select(vec![".", "sub"]),
        prop::collection::btree_map(prop::sample::select(vec!["B", "C", "D"]), word(), 0..3),
        word(),
        prop::collection::btree_set("out/[a-m]", 0..3),
        word(),
    );
    let extra = prop::sample::select(vec!["src/d", "src/deep/e", "src/deep/er/f", "src/g.x"]);
    let inputs = prop::collection::btree_map(extra, (word(), any::<bool>()), 0..4);
    (declared, inputs, any::<bool>(), word()).prop_map(|(declared, mut inputs, backwards, about)| {
        let (script, argument, dir, env, named, outputs, tool) = declared;
        inputs.extend([("src/a", ("a".to_owned(), false)), ("src/b", ("b".to_owned(), false))]);
        Case {
            script,
            argument,
            dir,
            env,
            named,
            outputs: outputs.into_iter().collect(),
            tool,
            inputs,
            about,
            other_var: "1".to_owned(),
            other_target: String::new(),
            limits: String::new(),
            name: "it",
            project: "demo",
            layout: Layout::Lines,
            others: BTreeMap::new(),
            caller: Caller {
                environment: BTreeMap::from([("HOME", "/home".to_owned())]),
                user: "dev",
                processors: 2,
                now: 1_700_000_000,
                event: None,
                backwards,
            },
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_key_changes_if_and_only_if_a_declared_part_does(case in case()) {
        let (_, key) = case.plan();
        for (what, declared, change) in CHANGES {
            let mut changed = case.clone();
            change(&mut changed);
            let (_, other) = changed.plan();
            prop_assert_eq!(key != other, *declared, "{}: {}", what, changed.text());
        }
    }

    #[test]
    fn a_plan_is_the_same_on_every_machine(case in case()) {
        let (plan, _) = case.plan();
        let mut elsewhere = case.clone();
        elsewhere.caller = Caller {
            environment: BTreeMap::from([("HOME", "/root".to_owned()), ("TZ", "Asia/Tokyo".to_owned())]),
            user: "someone",
            processors: 64,
            now: 1_800_000_000,
            event: None,
            backwards: !case.caller.backwards,
        };
        let (other, _) = elsewhere.plan();
        prop_assert_eq!(plan, other);
    }
}
