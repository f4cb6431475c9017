//! Images.

use crate::config::decode::Decoder;
use crate::config::decode::names::Noun;
use crate::config::decode::read::{boolean, child, children, form, number, property, string, word, words};
use crate::config::decode::tags::list;
use crate::config::{Budget, Image, Part, Push, Recipe, Secret, Sign, Template, value};
use crate::diagnostic::{Code, Problem, Spanned};
use crate::oci::{Platform, RepositoryName};
use crate::syntax::Node;

/// Kinds of event that publish where `push` does not say.
const PUBLISHING: &[&str] = &["branch", "tag", "schedule"];
/// The variable that holds the password of a signing key where the file does not say.
const PASSWORD: &str = "COSIGN_PASSWORD";

impl Decoder<'_> {
    pub(super) fn image(&mut self, node: &Node) -> Option<Image> {
        let name = self.declared(node)?;
        let dockerfile = child(node, "dockerfile").and_then(|node| self.dockerfile(node));
        let recipe = match child(node, "assemble") {
            Some(assemble) => self.assemble(assemble).map(|assemble| Recipe::Assemble(Box::new(assemble))),
            None => dockerfile.map(|dockerfile| Recipe::Dockerfile(Box::new(dockerfile))),
        };
        let attest = child(node, "attest");
        let provenance = attest.and_then(|attest| property(attest, "provenance"));
        let sbom = attest.and_then(|attest| property(attest, "sbom"));
        let image = Image {
            about: string(property(node, "about")),
            home: self.home.clone(),
            repository: self.repository(node, &name),
            needs: words(node, "needs").filter_map(|value| self.work(value)).collect(),
            platforms: self.platforms(node),
            labels: self.assignments(node, "label"),
            tags: self.rules(node),
            budget: child(node, "budget").map(|budget| Spanned::new(self.budget(budget), budget.header)),
            tests: self.tests(node),
            expects: self.expects(node),
            scans: self.scans(node),
            signs: self.signs(node),
            provenance: provenance.and_then(|value| Some(Spanned::new(boolean(Some(value))?, value.span))),
            sbom: sbom.and_then(|value| self.path(value)),
            push: self.pushes(node),
            recipe: recipe?,
            name,
        };
        if child(node, "sign").is_none() {
            self.check_provenance(&image);
        }
        Some(image)
    }

    /// Anybody could have written a statement that nobody signed.
    fn check_provenance(&mut self, image: &Image) {
        let Some(provenance) = image.provenance.as_ref().filter(|wanted| wanted.value) else { return };
        let title = format!("the provenance of `{}` is signed by nobody", image.name.value);
        let problem = Problem::new(Code::MissingNode, title)
            .label(provenance.span, "signed with the keys of `sign`")
            .help("name a key: `sign key=\"env:COSIGN_PRIVATE_KEY\"`");
        self.problems.push(problem);
    }

    /// The repository; the image's name where nothing is said.
    fn repository(&mut self, node: &Node, name: &Spanned<String>) -> Template {
        let given = word(node, "repository");
        let repository = match given {
            Some(value) => self.template(value),
            None => Template { parts: vec![Part::Text(name.value.clone())], span: name.span },
        };
        if let Some(text) = repository.literal()
            && let Err(why) = format!("localhost/{text}").parse::<RepositoryName>()
        {
            let help = match given {
                Some(_) => {
                    "lower-case letters, digits, `.`, `_`, `-`, and `/`: `repository \"team/web\"`".to_owned()
                }
                None => "name one: `repository \"team/web\"`".to_owned(),
            };
            let problem = Problem::new(Code::InvalidReference, format!("`{text}` is not a repository"))
                .label(repository.span, why.to_string())
                .help(help);
            self.problems.push(problem);
        }
        repository
    }

    fn platforms(&mut self, node: &Node) -> Vec<Spanned<Platform>> {
        let mut platforms: Vec<Spanned<Platform>> = Vec::new();
        for value in words(node, "platforms") {
            let Some(platform) = form(Some(value), str::parse::<Platform>) else { continue };
            if let Some(first) = platforms.iter().find(|first| first.value == platform) {
                let problem =
                    Problem::new(Code::Repeated, format!("the platform `{platform}` is given twice"))
                        .label(value.span, "given again")
                        .label(first.span, "first given here")
                        .help("remove one of them");
                self.problems.push(problem);
            } else {
                platforms.push(Spanned::new(platform, value.span));
            }
        }
        platforms
    }

    fn signs(&mut self, node: &Node) -> Vec<Sign> {
        let sign = |sign| {
            let key = self.secret(property(sign, "key")?)?;
            let password = match property(sign, "password") {
                Some(password) => self.secret(password)?,
                None => Spanned::new(Secret::Env(PASSWORD.to_owned()), key.span),
            };
            Some(Sign { key, password, span: sign.header })
        };
        children(node, "sign").filter_map(sign).collect()
    }

    fn pushes(&mut self, node: &Node) -> Vec<Push> {
        let mut pushes: Vec<Push> = Vec::new();
        for push in children(node, "push") {
            let on = match property(push, "on") {
                Some(value) => list(Some(value)),
                None => PUBLISHING.iter().map(|event| (*event).to_owned()).collect(),
            };
            for value in &push.arguments {
                let Some(registry) = self.name_of(&[Noun::Registry], value) else { continue };
                if let Some(first) = pushes.iter().find(|first| first.registry.value == registry.value) {
                    let title = format!("the registry `{}` is given twice", registry.value);
                    let problem = Problem::new(Code::Repeated, title)
                        .label(registry.span, "given again")
                        .label(first.registry.span, "first given here")
                        .help("name it once, with all events: `on=\"branch,tag,pr\"`");
                    self.problems.push(problem);
                    continue;
                }
                pushes.push(Push { registry, on: on.clone() });
            }
        }
        pushes
    }

    fn budget(&mut self, node: &Node) -> Budget {
        let growth = property(node, "growth");
        let since = property(node, "since");
        if let (Some(since), None) = (since, growth) {
            let problem = Problem::new(Code::MissingProperty, "`since` is for `growth`, which is not given");
            let problem = problem.label(since.span, "nothing is compared with it");
            self.problems.push(problem.help("write `growth=\"10%\"`, or leave `since` out"));
        }
        Budget {
            size: form(property(node, "size"), value::size),
            layers: number(property(node, "layers")),
            wasted: form(property(node, "wasted"), value::waste),
            growth: form(growth, value::waste),
            since: since.map(|since| self.template(since)),
        }
    }
}
