//! Stages.

use std::time::Duration;

use crate::config::decode::Decoder;
use crate::config::decode::names::Noun;
use crate::config::decode::read::{
    argument, boolean, child, children, flag, form, number, property, string, word, words,
};
use crate::config::decode::registry::bounds;
use crate::config::decode::trial::severity;
use crate::config::{Approve, EventPattern, HttpCheck, MergedRequest, Require, Stage, Verify, value};
use crate::diagnostic::Spanned;
use crate::syntax::{Node, Property, ValueKind};

/// How long a deployment may take to hold where `verify` does not say.
const WITHIN: Duration = Duration::from_mins(5);

impl Decoder<'_> {
    pub(super) fn stage(&mut self, node: &Node) -> Option<Stage> {
        Some(Stage {
            name: self.declared(node)?,
            about: string(property(node, "about")),
            home: self.home.clone(),
            on: children(node, "on").flat_map(events).collect(),
            from: words(node, "from").filter_map(|value| self.name_of(&[Noun::Stage], value)).collect(),
            images: words(node, "images").filter_map(|value| self.name_of(&[Noun::Image], value)).collect(),
            registry: word(node, "registry").and_then(|value| self.name_of(&[Noun::Registry], value)),
            tags: self.rules(node),
            require: child(node, "require")
                .map(|require| Spanned::new(requirements(require), require.header)),
            approve: child(node, "approve")
                .map(|approve| Spanned::new(self.approve(approve), approve.header)),
            deploys: children(node, "deploy").filter_map(|deploy| self.deploy(deploy)).collect(),
            verify: child(node, "verify").map(|verify| Spanned::new(self.verify(verify), verify.header)),
            retain: child(node, "retain").map(bounds),
            record: flag(node, "record"),
        })
    }

    fn approve(&mut self, node: &Node) -> Approve {
        let pull_request = child(node, "pull-request")
            .map(|node| MergedRequest { base: string(property(node, "base")), at: self.forge_access(node) });
        Approve { by: node.arguments.iter().filter_map(|value| string(Some(value))).collect(), pull_request }
    }

    fn verify(&mut self, node: &Node) -> Verify {
        let http = children(node, "http").filter_map(|http| {
            Some(HttpCheck {
                url: argument(http, 0).map(|value| self.template(value))?,
                status: number(property(http, "status")).unwrap_or(200),
                ca: property(http, "ca").and_then(|value| self.path(value)),
                span: http.header,
            })
        });
        Verify {
            within: form(property(node, "within"), value::duration).unwrap_or(WITHIN),
            rollback: boolean(property(node, "rollback")).unwrap_or(true),
            http: http.collect(),
            run: self.commands(node, "run"),
        }
    }
}

/// The events of one `on`.
fn events(node: &Node) -> Vec<Spanned<EventPattern>> {
    let pattern = |name: &str, value: &ValueKind| match (name, value) {
        ("branch", ValueKind::String(glob)) => Some(EventPattern::Branch(glob.clone())),
        ("tag", ValueKind::String(glob)) => Some(EventPattern::Tag(glob.clone())),
        ("pr", ValueKind::Bool(true)) => Some(EventPattern::PullRequest),
        ("schedule", ValueKind::Bool(true)) => Some(EventPattern::Schedule),
        _ => None,
    };
    let properties = node.properties.iter();
    properties
        .filter_map(|property| {
            let pattern = pattern(&property.name.value, &property.value.kind)?;
            Some(Spanned::new(pattern, place(property).span))
        })
        .collect()
}

/// The name of a property, and the whole of it in the source.
fn place(property: &Property) -> Spanned<String> {
    Spanned::new(property.name.value.clone(), property.name.span.to(property.value.span))
}

fn requirements(node: &Node) -> Require {
    let yes = |name: &str| boolean(property(node, name)).unwrap_or(false);
    Require {
        tests: yes("tests"),
        scan: form(property(node, "scan"), severity),
        signed: yes("signed"),
        provenance: yes("provenance"),
        soak: form(property(node, "soak"), value::duration),
        branch: string(property(node, "branch")),
        clean: yes("clean"),
        places: node.properties.iter().map(place).collect(),
    }
}
