//! Steps that look at an image: tests and budget.

use std::time::Duration;

use crate::config::{Budget, Expect, HttpAnswer, Image, ImageTest, Part, Template, Waste};
use crate::diagnostic::{Code, Problem, Spanned};
use crate::facts::Scope;
use crate::oci::{InvalidTag, LATEST, Platform};
use crate::plan::lower::{Lower, Made};
use crate::plan::unit::{Job, channels, platform};
use crate::plan::{
    Action, BudgetStep, Definition, Effect, ExpectPlan, SincePlan, Subject, TestPlan, TestStep,
};

/// How long a test may take that does not say so.
const TEST_TIMEOUT: Duration = Duration::from_mins(1);

impl Lower<'_> {
    pub(super) fn test(&mut self, at: usize, image: &Image) -> Made {
        let scope = Scope::new(self.release, self.facts);
        let default = &self.facts.platform;
        let numbers = 0..image.platforms.len().max(1);
        let platforms: Vec<Platform> =
            numbers.map(|number| platform(image, number, default).clone()).collect();
        let tests: Vec<TestPlan> = image.tests.iter().map(|test| self.test_plan(&scope, test)).collect();
        let expects = self.expects(&scope, &image.expects);
        let mut definition = Definition::default();
        definition.text(Subject::Format, "test 1");
        let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
        definition.text(Subject::Platform, names.join(" "));
        for test in &tests {
            self.define(&mut definition, Subject::Check(format!("test {}", test.name)), recipe_of(test));
        }
        for (number, expect) in expects.iter().enumerate() {
            self.define(
                &mut definition,
                Subject::Check(format!("expect {}", number + 1)),
                shown(&expect.what),
            );
        }
        let step = TestStep { image: self.place(at, Job::Index), platforms, tests, expects };
        Made::new(Action::Test(Box::new(step)), definition, Effect::Cacheable)
    }

    fn test_plan(&mut self, scope: &Scope<'_>, test: &ImageTest) -> TestPlan {
        TestPlan {
            name: test.name.value.clone(),
            env: self.fill_map(scope, &test.env),
            run: self.fill_all(scope, &test.run),
            entrypoint: test.entrypoint.as_ref().map(|words| self.fill_all(scope, words)),
            user: test.user.as_ref().map(|user| self.fill(scope, user)),
            expects: self.expects(scope, &test.expects),
            timeout: test.timeout.unwrap_or(TEST_TIMEOUT),
            span: test.name.span,
        }
    }

    fn expects(&mut self, scope: &Scope<'_>, expects: &[Spanned<Expect>]) -> Vec<ExpectPlan> {
        let plan = |expect: &Spanned<Expect>| {
            let what = match &expect.value {
                Expect::Stdout(text) => Expect::Stdout(self.literal(scope, text)),
                Expect::Stderr(text) => Expect::Stderr(self.literal(scope, text)),
                Expect::Http(check) => Expect::Http(HttpAnswer {
                    path: self.literal(scope, &check.path),
                    body: check.body.as_ref().map(|body| self.literal(scope, body)),
                    ..check.clone()
                }),
                other => other.clone(),
            };
            ExpectPlan { what, span: expect.span }
        };
        expects.iter().map(plan).collect()
    }

    /// A template without fields.
    fn literal(&mut self, scope: &Scope<'_>, template: &Template) -> Template {
        Template { parts: vec![Part::Text(self.fill(scope, template))], span: template.span }
    }

    pub(super) fn budget(&mut self, at: usize, image: &Image) -> Made {
        let Some(budget) = &image.budget else {
            return Made::new(Action::Group, Definition::default(), Effect::Always);
        };
        let mut definition = Definition::default();
        definition.text(Subject::Format, "budget 1");
        let number = |value: u64| value.to_string();
        let text = |waste: Waste| match waste {
            Waste::Bytes(bytes) => bytes.to_string(),
            Waste::Percent(percent) => format!("{percent}%"),
        };
        let limits = [
            ("size", budget.size.map(number)),
            ("layers", budget.layers.map(number)),
            ("wasted", budget.wasted.map(text)),
            ("growth", budget.growth.map(text)),
        ];
        for (name, limit) in limits {
            if let Some(limit) = limit {
                definition.text(Subject::Setting(name.to_owned()), limit);
            }
        }
        let since = budget.growth.and_then(|_| self.since(at, image, budget));
        // What was published before changes behind one's back.
        let effect = if since.is_some() { Effect::Always } else { Effect::Cacheable };
        let image = self.place(at, Job::Index);
        let step =
            BudgetStep { image, budget: budget.value.clone(), since: since.map(Box::new), span: budget.span };
        Made::new(Action::Budget(step), definition, effect)
    }

    /// What the growth of an image is compared with.
    fn since(&mut self, at: usize, image: &Image, budget: &Spanned<Budget>) -> Option<SincePlan> {
        if channels(self.release, image).is_empty() {
            let title = "`growth` compares an image with what was published, and this one is not";
            let problem = Problem::new(Code::InvalidValue, title).label(budget.span, "asked for here");
            self.problems.push(problem.help("give the image a `push`"));
            return None;
        }
        let registry = self.registry(image, 0)?;
        let scope = Scope::new(self.release, self.facts);
        let (text, span) = match &budget.since {
            Some(since) => (self.problems.take(scope.fill(since))?, since.span),
            None => (LATEST.to_owned(), budget.span),
        };
        let tag = text.parse().map_err(|invalid: InvalidTag| {
            let title = format!("`{text}` is not a tag: {invalid}");
            Problem::new(Code::InvalidTag, title).label(span, "it comes from here")
        });
        let tag = tag.map_err(|problem| self.problems.push(problem)).ok()?;
        Some(SincePlan { registry, tag, required: self.is_published(at, image) })
    }
}

/// All that says how a test is run and what must hold.
fn recipe_of(test: &TestPlan) -> String {
    let mut lines: Vec<String> =
        test.env.iter().map(|(name, value)| format!("env {name}={value:?}")).collect();
    lines.extend(test.entrypoint.iter().map(|words| format!("entrypoint {words:?}")));
    lines.extend(test.user.iter().map(|user| format!("user {user:?}")));
    lines.push(format!("run {:?}", test.run));
    lines.extend(test.expects.iter().map(|expect| format!("expect {:?}", shown(&expect.what))));
    lines.push(format!("timeout {}ms", test.timeout.as_millis()));
    lines.join("\n")
}

fn shown(expect: &Expect) -> String {
    match expect {
        Expect::Exit(code) => format!("exit={code}"),
        Expect::Stdout(text) => format!("stdout={text}"),
        Expect::Stderr(text) => format!("stderr={text}"),
        Expect::StdoutMatches(expression) => format!("stdout-matches={expression}"),
        Expect::StderrMatches(expression) => format!("stderr-matches={expression}"),
        Expect::Http(HttpAnswer { port, path, status, body }) => {
            let body = body.as_ref().map(|body| format!(" body={body}")).unwrap_or_default();
            format!("http port={port} path={path} status={status}{body}")
        }
        Expect::User { name, not } => format!("user={}{name}", if *not { "!" } else { "" }),
        Expect::Label(name, None) => format!("label={name}"),
        Expect::Label(name, Some(value)) => format!("label={name}={value}"),
        Expect::File(path) => format!("file={path}"),
        Expect::Port(port) => format!("port={port}"),
    }
}
