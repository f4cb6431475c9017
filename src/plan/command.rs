//! Steps of targets.

use indexmap::IndexMap;

use crate::config::{Command, Pattern, ProjectPath, Target};
use crate::diagnostic::Spanned;
use crate::facts::Scope;
use crate::plan::build::skipped;
use crate::plan::edge::{Edge, Why};
use crate::plan::files::filled;
use crate::plan::lower::{Lower, Made, is_group};
use crate::plan::select::outputs_of;
use crate::plan::unit::{Unit, row_values};
use crate::plan::{Action, CommandStep, Definition, Effect, Exec, Subject, Variables};

/// Changes where equal parts come to make another result.
const FORMAT: &str = "command 1";

impl Lower<'_> {
    pub(super) fn target(&mut self, unit: Unit, target: &Target, row: usize, edges: &[Edge]) -> Made {
        if is_group(target) {
            return Made::new(Action::Group, Definition::default(), Effect::Cacheable);
        }
        let matrix = row_values(target, row);
        let scope = Scope::new(self.release, self.facts).with_matrix(&matrix).of(&target.name.value);
        let commands: Vec<Exec> = target.run.iter().map(|command| self.exec(&scope, command)).collect();
        let variables = self.variables(&scope, target);
        let outputs = filled(&target.outputs, &matrix);
        let answers = self.answers(unit);
        let step = CommandStep {
            commands,
            dir: target.dir.clone(),
            variables,
            outputs,
            timeout: target.timeout.or(self.release.settings.timeout),
            retries: target.retries,
            confirm: target.confirm.clone(),
            interactive: target.interactive,
            sandbox: target.sandbox.as_ref().is_some_and(|wanted| wanted.value),
        };
        let mut definition = self.define_command(&step);
        for (tool, at) in target.tools.iter().zip(&answers.tools) {
            let output = self.facts.tools.get(*at).cloned().unwrap_or_default();
            self.define(&mut definition, Subject::Tool(shown(&tool.value)), output);
        }
        let found = answers.inputs.and_then(|at| self.facts.inputs.get(at));
        if let Some(files) = found {
            definition.inputs(&files.files);
        }
        let effect = if target.inputs.is_some() && !self.reads_what_is_left_out(edges) {
            Effect::Cacheable
        } else {
            Effect::Always
        };
        let inputs = answers.inputs.and_then(|at| self.selection.needs.inputs.get(at)).cloned();
        Made { action: Action::Command(Box::new(step)), definition, effect, inputs }
    }

    /// Whether it reads what a target would make that is skipped, and no other makes in its
    /// place: nothing is then known of it.
    fn reads_what_is_left_out(&self, edges: &[Edge]) -> bool {
        let makers = edges.iter().filter(|edge| matches!(edge.why, Why::Reads(..))).map(|edge| edge.to);
        let (left_out, others): (Vec<Unit>, Vec<Unit>) =
            makers.partition(|maker| skipped(self.release, self.facts, *maker).is_some());
        let made: Vec<Pattern> = others.iter().flat_map(|maker| outputs_of(self.release, *maker)).collect();
        let is_made = |wanted: Pattern| {
            made.iter().any(|made| made.glob.value == wanted.glob.value && made.negated == wanted.negated)
        };
        !left_out.iter().flat_map(|maker| outputs_of(self.release, *maker)).all(is_made)
    }

    pub(super) fn exec(&mut self, scope: &Scope<'_>, command: &Spanned<Command>) -> Exec {
        let argv = match &command.value {
            Command::Script(script) => {
                let shell = self.release.settings.shell.iter().cloned();
                shell.chain([script.clone()]).collect()
            }
            Command::Argv(arguments) => self.fill_all(scope, arguments),
        };
        Exec { argv, span: command.span }
    }

    /// What the commands see: what their scripts name, and what `env` sets, which
    /// wins.
    fn variables(&mut self, scope: &Scope<'_>, target: &Target) -> Variables {
        let mut set = IndexMap::new();
        for command in &target.run {
            set.extend(self.named_in(scope, command));
        }
        set.extend(target.env.iter().map(|(name, value)| (name.clone(), self.fill(scope, value))));
        let pass = target.pass_env.iter().map(|name| name.value.clone()).collect();
        Variables { inherit: target.inputs.is_none(), set, pass }
    }

    /// What a script names that hoist knows.
    pub(super) fn named_in(
        &mut self,
        scope: &Scope<'_>,
        command: &Spanned<Command>,
    ) -> IndexMap<String, String> {
        let Command::Script(script) = &command.value else { return IndexMap::new() };
        let named = scope.script_variables(script).map_err(|problem| {
            let pointed = problem.labels.is_empty();
            if pointed { problem.label(command.span, "named in this script") } else { problem }
        });
        self.problems.take(named).unwrap_or_default()
    }

    /// Commands of a stage or an image, by its name and directory: they see all of the
    /// caller's environment.
    pub(super) fn callers_command(
        &mut self,
        owner: &str,
        home: &ProjectPath,
        commands: &[Spanned<Command>],
    ) -> CommandStep {
        let scope = Scope::new(self.release, self.facts).of(owner);
        let run = commands.iter().map(|command| self.exec(&scope, command)).collect();
        let mut variables = Variables { inherit: true, ..Variables::default() };
        for command in commands {
            variables.set.extend(self.named_in(&scope, command));
        }
        CommandStep {
            commands: run,
            dir: home.clone(),
            variables,
            outputs: Vec::new(),
            timeout: self.release.settings.timeout,
            retries: 0,
            confirm: None,
            interactive: false,
            sandbox: false,
        }
    }

    pub(super) fn define_command(&self, step: &CommandStep) -> Definition {
        let mut definition = Definition::default();
        definition.text(Subject::Format, FORMAT);
        for (at, command) in step.commands.iter().enumerate() {
            self.define(&mut definition, Subject::Command(at), command.argv.join("\0"));
        }
        definition.text(Subject::Directory, step.dir.to_string());
        for (name, value) in &step.variables.set {
            self.define(&mut definition, Subject::Variable(name.clone()), value.clone());
        }
        for (at, output) in step.outputs.iter().enumerate() {
            let sign = if output.negated { "!" } else { "" };
            definition.text(Subject::Output(at), format!("{sign}{}", output.glob.value));
        }
        let facts = self.facts;
        definition.text(Subject::Platform, format!("{}/{}", facts.os, facts.platform.architecture));
        definition
    }
}

/// A command as it is written.
fn shown(command: &Command) -> String {
    match command {
        Command::Script(script) => script.clone(),
        Command::Argv(arguments) => {
            let words: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            words.join(" ")
        }
    }
}
