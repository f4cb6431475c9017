//! Targets.

use indexmap::IndexMap;

use crate::config::decode::Decoder;
use crate::config::decode::names::Noun;
use crate::config::decode::read::{
    children, flag, form, number, property, string, text, whole_property, word, words,
};
use crate::config::decode::template::Scope;
use crate::config::{Command, Condition, Fact, Pattern, ProjectPath, Target, Template, value};
use crate::diagnostic::{Code, Problem, Span, Spanned};
use crate::syntax::Node;

impl Decoder<'_> {
    pub(super) fn target(&mut self, node: &Node) -> Option<Target> {
        let name = self.declared(node)?;
        let matrix = self.matrix(node);
        self.scope = Scope { matrix: matrix.keys().cloned().collect(), groups: 0 };
        let dir = word(node, "dir").and_then(|value| self.path(value));
        let dir = dir.map_or_else(|| self.home.clone(), |dir| dir.value);
        let inputs = self.patterns(node, "inputs", &dir);
        let sandbox = flag(node, "sandbox");
        if let Some(sandbox) = sandbox.filter(|sandbox| sandbox.value && inputs.is_none()) {
            let problem =
                Problem::new(Code::MissingNode, format!("`{}` has `sandbox` and no `inputs`", name.value))
                    .label(sandbox.span, "would deny it every file of the project")
                    .help("declare what it reads: `inputs \"src/**\"`");
            self.problems.push(problem);
        }
        let target = Target {
            about: string(property(node, "about")),
            home: self.home.clone(),
            needs: words(node, "needs").filter_map(|value| self.work(value)).collect(),
            run: self.commands(node, "run"),
            inputs,
            outputs: self.patterns(node, "outputs", &dir).unwrap_or_default(),
            directories: words(node, "outputs")
                .enumerate()
                .filter_map(|(at, value)| value.as_str()?.ends_with('/').then_some(at))
                .collect(),
            env: self.env(node),
            pass_env: words(node, "pass-env").filter_map(text).collect(),
            tools: self.commands(node, "tool"),
            matrix,
            when: children(node, "when").flat_map(conditions).collect(),
            timeout: form(word(node, "timeout"), value::limit),
            retries: number(word(node, "retries")).unwrap_or(0),
            pool: word(node, "pool").and_then(|value| self.name_of(&[Noun::Pool], value)),
            confirm: string(word(node, "confirm")),
            interactive: flag(node, "interactive").is_some_and(|flag| flag.value),
            private: flag(node, "private").is_some_and(|flag| flag.value),
            finally: words(node, "finally")
                .filter_map(|value| self.name_of(&[Noun::Target], value))
                .collect(),
            sandbox,
            name,
            dir,
        };
        self.scope = Scope::default();
        Some(target)
    }

    /// The patterns of all nodes of a name; `None` where there is none.
    fn patterns(&mut self, node: &Node, name: &str, dir: &ProjectPath) -> Option<Vec<Pattern>> {
        children(node, name).next()?;
        Some(words(node, name).filter_map(|value| self.pattern(value, dir)).collect())
    }

    /// The commands of all nodes of a name.
    pub(super) fn commands(&mut self, node: &Node, name: &str) -> Vec<Spanned<Command>> {
        children(node, name).filter_map(|command| self.command(command)).collect()
    }

    fn command(&mut self, node: &Node) -> Option<Spanned<Command>> {
        let command = match node.arguments.as_slice() {
            [] => return None,
            [script] => Command::Script(string(Some(script))?),
            words => Command::Argv(words.iter().map(|word| self.template(word)).collect()),
        };
        Some(Spanned::new(command, node.header))
    }

    /// `env`: variables of all nodes of that name.
    pub(super) fn env(&mut self, node: &Node) -> IndexMap<String, Template> {
        self.assignments(node, "env")
    }

    /// Templates by the names of their properties, of all nodes of a name.
    pub(super) fn assignments(&mut self, node: &Node, name: &str) -> IndexMap<String, Template> {
        let mut all: IndexMap<String, (Template, Span)> = IndexMap::new();
        for assignments in children(node, name) {
            for property in &assignments.properties {
                let key = &property.name;
                let template = self.template(&property.value);
                match all.get(&key.value) {
                    // Twice in one node is a matter of its form.
                    Some((_, first)) if first.start >= assignments.span.start => {}
                    Some((_, first)) => {
                        let problem = Problem::new(Code::Repeated, format!("`{}` is given twice", key.value))
                            .label(key.span, "given again")
                            .label(*first, "first given here")
                            .help("remove one of them");
                        self.problems.push(problem);
                    }
                    None => {
                        self.check_variable(name, key);
                        all.insert(key.value.clone(), (template, key.span));
                    }
                }
            }
        }
        all.into_iter().map(|(key, (template, _))| (key, template)).collect()
    }

    /// Variables of the environment and build arguments are identifiers.
    fn check_variable(&mut self, node: &str, key: &Spanned<String>) {
        if matches!(node, "env" | "arg")
            && let Err(why) = value::variable(&key.value)
        {
            let problem =
                Problem::new(Code::InvalidValue, format!("`{}` is not the name of a variable", key.value))
                    .label(key.span, why)
                    .help(format!("write `{node} NAME=\"value\"`"));
            self.problems.push(problem);
        }
    }

    fn matrix(&mut self, node: &Node) -> IndexMap<String, Vec<Spanned<String>>> {
        let mut matrix: IndexMap<String, Vec<Spanned<String>>> = IndexMap::new();
        let mut spans: IndexMap<&str, Span> = IndexMap::new();
        for key in children(node, "matrix").flat_map(|matrix| matrix.children.iter().flatten()) {
            let name = key.name.value.as_str();
            if let Some(first) = spans.insert(name, key.name.span) {
                let problem = Problem::new(Code::Repeated, format!("`{name}` is given twice"))
                    .label(key.name.span, "given again")
                    .label(first, "first given here")
                    .help("join the two: one line has all values");
                self.problems.push(problem);
                continue;
            }
            self.check_matrix_key(&key.name);
            let values = self.matrix_values(key);
            matrix.insert(name.to_owned(), values);
        }
        matrix
    }

    fn check_matrix_key(&mut self, name: &Spanned<String>) {
        if let Err(why) = value::variable(&name.value) {
            let problem =
                Problem::new(Code::InvalidValue, format!("`{}` is not the name of a variable", name.value))
                    .label(name.span, why)
                    .help("a key of a matrix is a variable in scripts: letters, digits, and `_`");
            self.problems.push(problem);
        }
        if Fact::ALL.iter().any(|fact| fact.as_str() == name.value) {
            let problem =
                Problem::new(Code::DuplicateName, format!("the key `{}` has the name of a fact", name.value))
                    .label(name.span, format!("`{{{}}}` is a fact of every run", name.value))
                    .help("give the key another name");
            self.problems.push(problem);
        }
    }

    /// The values of one key: each stands in the name of a step.
    fn matrix_values(&mut self, key: &Node) -> Vec<Spanned<String>> {
        let mut values: Vec<Spanned<String>> = Vec::new();
        for value in key.arguments.iter().filter_map(text) {
            if let Some(first) = values.iter().find(|first| first.value == value.value) {
                let problem =
                    Problem::new(Code::Repeated, format!("the value `{}` is given twice", value.value))
                        .label(value.span, "given again")
                        .label(first.span, "first given here")
                        .help("remove one of them");
                self.problems.push(problem);
            } else if value.value.is_empty() || value.value.contains(['[', ']', ',', '=', ':', '@', '*']) {
                let problem = Problem::new(
                    Code::InvalidValue,
                    format!("`{}` cannot be a value of a matrix", value.value),
                )
                .label(value.span, "stands in the name of a step, such as `lint[python=3.11]`")
                .help("leave out `[`, `]`, `,`, `=`, `:`, `@`, and `*`");
                self.problems.push(problem);
            } else {
                values.push(value);
            }
        }
        values
    }
}

/// What one `when` asks.
fn conditions(node: &Node) -> Vec<Spanned<Condition>> {
    let condition = |name: &str, make: fn(String) -> Condition| {
        let property = whole_property(node, name)?;
        let span = property.name.span.to(property.value.span);
        Some(Spanned::new(make(string(Some(&property.value))?), span))
    };
    let env = |text: String| match text.split_once('=') {
        Some((name, value)) => Condition::Env(name.to_owned(), Some(value.to_owned())),
        None => Condition::Env(text, None),
    };
    [condition("env", env), condition("os", Condition::Os), condition("branch", Condition::Branch)]
        .into_iter()
        .flatten()
        .collect()
}
