//! What a release.kdl of the model declares, and how it is written.

use std::fmt::Write as _;

use crate::image::REGISTRY;

/// Values of the matrix of a target that has one.
pub(crate) const MATRIX: [&str; 2] = ["1", "2"];

/// A release.kdl.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    /// Defaults of the variables `v0`, `v1`, …, which `V0`, `V1`, … overrule.
    pub(crate) vars: Vec<String>,
    pub(crate) targets: Vec<Target>,
    /// For names that no target had before.
    pub(crate) next: usize,
}

/// A target, of which the script can be worked out without running it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// Has a script; else it is a group of what it needs.
    pub(crate) runs: bool,
    /// Declares what it reads.
    pub(crate) cacheable: bool,
    pub(crate) needs: Vec<String>,
    pub(crate) uses: Vec<Use>,
    pub(crate) out: Option<Out>,
    /// Value of the variable `K` that it sets.
    pub(crate) env: Option<String>,
    /// Which variables its script names.
    pub(crate) vars: Vec<usize>,
    /// Whether it has a matrix of the values [`MATRIX`].
    pub(crate) matrix: bool,
    /// Whether a variable is passed that its result does not depend on.
    pub(crate) pass: bool,
    /// Pauses while it writes.
    pub(crate) slow: bool,
    /// Later targets that run after it, whatever happened.
    pub(crate) finally: Vec<String>,
    /// Runs only if the variable `V0`, `V1`, … of the environment is set.
    pub(crate) when: Option<usize>,
    /// Fails in each run when it is tried first, and is tried twice.
    pub(crate) flaky: bool,
    /// A part of the script that says nothing else.
    pub(crate) salt: usize,
}

/// What is read, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// The content of a named file.
    Cat(String),
    /// Its first byte only: what comes behind it changes no output.
    First(String),
    /// Whether it may be executed.
    Mode(String),
    /// Fails if the file has a `!`.
    Refuse(String),
    /// The files `*.txt` of a directory.
    Glob(String),
    /// The files `*.txt` anywhere below a directory.
    Deep(String),
}

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    File,
    Executable,
    /// A link whose text is made of the first bytes read.
    Link,
    /// A directory with the files that are read, by their last names.
    Directory,
    /// A file among files that are written by hand.
    Mixed,
}

impl Use {
    pub(crate) fn pattern(&self) -> String {
        match self {
            Self::Cat(path) | Self::First(path) | Self::Mode(path) | Self::Refuse(path) => path.clone(),
            Self::Glob(directory) => format!("{directory}/*.txt"),
            Self::Deep(directory) => format!("{directory}/**/*.txt"),
        }
    }

    fn script(&self) -> String {
        match self {
            Self::Cat(path) => format!("cat {path}"),
            Self::First(path) => format!("head -c 1 {path}"),
            Self::Mode(path) => format!("if test -x {path}; then echo x; else echo -; fi"),
            Self::Refuse(path) => format!("if grep -q '!' {path}; then exit 3; fi"),
            Self::Glob(directory) => {
                format!("for f in {directory}/*.txt; do if test -f $f; then echo $f; cat $f; fi; done")
            }
            // `find` would list the directory that it is called in, too.
            Self::Deep(directory) => format!(
                "w() {{ for f in $1/*; do if test -d $f && ! test -h $f; then w $f; \
                 elif test $f != ${{f%.txt}}; then echo $f; fi; done; }}; \
                 for f in $(w {directory} | LC_ALL=C sort); do \
                 if test -f $f; then echo $f; cat $f; fi; done"
            ),
        }
    }
}

impl Target {
    /// Path of what it makes, for one value of the matrix.
    pub(crate) fn path(&self, value: Option<&str>) -> Option<String> {
        let value = value.map(|value| format!("-{value}")).unwrap_or_default();
        let name = &self.name;
        Some(match self.out? {
            Out::File => format!("out/{name}{value}.txt"),
            Out::Executable => format!("out/{name}{value}.bin"),
            Out::Link => format!("out/{name}{value}.lnk"),
            Out::Directory => format!("out/{name}{value}.d"),
            Out::Mixed => format!("mix/{name}{value}.txt"),
        })
    }

    /// Values of the matrix; one without a value where it has none.
    pub(crate) fn values(&self) -> &'static [Option<&'static str>] {
        if self.matrix { &[Some(MATRIX[0]), Some(MATRIX[1])] } else { &[None] }
    }

    /// What is run. The log lies outside of the project and tells which steps ran.
    pub(crate) fn script(&self, log: &str) -> String {
        let value = if self.matrix { "$p" } else { "-" };
        let mut body: Vec<String> = self.uses.iter().map(Use::script).collect();
        body.extend(self.vars.iter().map(|var| format!("echo $v{var}")));
        body.extend(self.env.as_ref().map(|_| "echo $K".to_owned()));
        body.extend(self.matrix.then(|| "echo $p".to_owned()));
        body.push(format!("echo {}", self.salt));
        if self.slow {
            body.insert(body.len() / 2, "sleep 0.03".to_owned());
        }
        let body = body.join("; ");
        let path = self.path(self.matrix.then_some("$p")).unwrap_or_default();
        let act = match self.out {
            None => format!("{{ {body}; }} > /dev/null"),
            Some(Out::File | Out::Mixed) => format!("{{ {body}; }} > {path}"),
            Some(Out::Executable) => format!("{{ {body}; }} > {path}; chmod 755 {path}"),
            // A pipe would swallow a failure: the first time is for that.
            Some(Out::Link) => format!(
                "{{ {body}; }} > /dev/null; x=$({{ {body}; }} | tr -d '\\n/' | head -c 9); ln -s to-$x {path}"
            ),
            Some(Out::Directory) => {
                let globs = self.uses.iter().filter_map(|it| match it {
                    Use::Glob(directory) => Some(format!("{directory}/*.txt")),
                    _ => None,
                });
                let globs: Vec<_> = globs.collect();
                let copies = format!(
                    "for f in {} {path}; do if test -f $f; then cat $f > {path}/${{f##*/}}; fi; done",
                    globs.join(" ")
                );
                format!("mkdir -p {path}; {{ {body}; }} > {path}/all; {copies}")
            }
        };
        // Before a step that declares its inputs, hoist itself makes room.
        let room = if path.is_empty() || self.cacheable { String::new() } else { format!("rm -rf {path}; ") };
        let gate = if self.flaky { self.gate(log, value, &path, &room) } else { String::new() };
        format!("{gate}echo ${{PWD##*/}} {} {value} >> {log}; {room}{act}", self.name)
    }
}

impl Target {
    /// Fails the first time that it is tried by the hoist that is its parent, and
    /// leaves half of a file in its output's place then.
    fn gate(&self, log: &str, value: &str, path: &str, room: &str) -> String {
        let half = if path.is_empty() { String::new() } else { format!("{room}echo half > {path}; ") };
        let mark = format!("{log}.d/$PPID-{}-{value}", self.name);
        format!("if mkdir {mark} 2>/dev/null; then {half}exit 9; fi; ")
    }

    /// Whether it reads an output, or what lies in it.
    pub(crate) fn reads(&self, path: &str) -> bool {
        self.uses.iter().any(|it| match it {
            Use::Cat(read) | Use::First(read) | Use::Mode(read) | Use::Refuse(read) | Use::Glob(read) => {
                read == path
            }
            Use::Deep(_) => false,
        })
    }
}

impl Project {
    /// The target of a name.
    pub(crate) fn target(&self, name: &str) -> &Target {
        self.targets.iter().find(|target| target.name == name).expect("names are kept right")
    }

    /// What is packed into the image: all that is made, but for links.
    pub(crate) fn packed(&self) -> impl Iterator<Item = (&Target, Option<&'static str>)> {
        let packs = |target: &&Target| {
            target.when.is_none() && !matches!(target.out, None | Some(Out::Link)) && target.runs
        };
        let targets = self.targets.iter().filter(packs);
        targets.flat_map(|target| target.values().iter().map(move |value| (target, *value)))
    }

    /// The text of the file.
    pub(crate) fn text(&self, log: &str) -> String {
        let mut text = String::from("project \"model\"\nsettings { shell \"sh\" \"-euc\"; }\n");
        for (at, value) in self.vars.iter().enumerate() {
            let _ = writeln!(text, "var \"v{at}\" \"{value}\" env=\"V{at}\"");
        }
        for target in &self.targets {
            target.write(log, &mut text);
        }
        let paths: Vec<String> = self.packed().filter_map(|(target, value)| target.path(value)).collect();
        if !paths.is_empty() {
            let copies = paths.iter().map(|path| format!("        copy \"{path}\" \"/{path}\"\n"));
            let copies: String = copies.collect();
            let push = "push \"out\"";
            let _ = writeln!(
                text,
                "image \"img\" {{\n    assemble from=\"scratch\" {{ layer {{\n{copies}    }} }}\n    {push}\n}}"
            );
            let _ = writeln!(text, "registry \"out\" \"oci:{REGISTRY}\"");
        }
        text
    }
}

impl Target {
    fn write(&self, log: &str, text: &mut String) {
        let quoted = |names: &mut dyn Iterator<Item = String>| {
            names.map(|name| format!(" \"{name}\"")).collect::<String>()
        };
        let _ = writeln!(text, "target \"{}\" {{", self.name);
        if !self.needs.is_empty() {
            let _ = writeln!(text, "    needs{}", quoted(&mut self.needs.iter().cloned()));
        }
        if self.matrix {
            let _ =
                writeln!(text, "    matrix {{ p{}; }}", quoted(&mut MATRIX.iter().map(ToString::to_string)));
        }
        if !self.finally.is_empty() {
            let _ = writeln!(text, "    finally{}", quoted(&mut self.finally.iter().cloned()));
        }
        if let Some(var) = self.when {
            let _ = writeln!(text, "    when env=\"V{var}\"");
        }
        if self.runs {
            let _ = writeln!(text, "    run #\"{}\"#", self.script(log));
            if self.cacheable {
                let _ = writeln!(text, "    inputs{}", quoted(&mut self.uses.iter().map(Use::pattern)));
            }
            if let Some(path) = self.path(self.matrix.then_some("{p}")) {
                let _ = writeln!(text, "    outputs \"{path}\"");
            }
            if let Some(value) = &self.env {
                let _ = writeln!(text, "    env K=\"{value}\"");
            }
            if self.pass {
                text.push_str("    pass-env \"PASSED\"\n");
            }
            if self.flaky {
                text.push_str("    retries 1\n");
            }
        }
        text.push_str("}\n");
    }
}
