//! Deployments of a stage.

use std::time::Duration;

use crate::config::decode::Decoder;
use crate::config::decode::names::Noun;
use crate::config::decode::read::{
    argument, boolean, child, children, form, property, string, text, word, words,
};
use crate::config::{Deploy, Edit, Forge, ForgeAccess, KubectlSet, NewValue, PullRequest, Template, value};
use crate::diagnostic::Spanned;
use crate::syntax::{Node, Value};

/// How long a rollout may take where the file does not say.
const WITHIN: Duration = Duration::from_mins(5);

impl Decoder<'_> {
    pub(super) fn deploy(&mut self, node: &Node) -> Option<Spanned<Deploy>> {
        let deploy = match argument(node, 0).and_then(Value::as_str)? {
            "gitops" => self.gitops(node),
            "kubectl" => Deploy::Kubectl {
                namespace: self.optional(property(node, "namespace")),
                context: self.optional(property(node, "context")),
                sets: children(node, "set").filter_map(|set| self.kubectl_set(set)).collect(),
                within: form(property(node, "within"), value::duration).unwrap_or(WITHIN),
            },
            "compose" => Deploy::Compose {
                file: word(node, "file").and_then(|value| self.path(value))?,
                services: words(node, "service").filter_map(text).collect(),
            },
            "run" => Deploy::Run(self.commands(node, "run")),
            _ => return None,
        };
        Some(Spanned::new(deploy, node.header))
    }

    fn optional(&mut self, value: Option<&Value>) -> Option<Template> {
        value.map(|value| self.template(value))
    }

    fn gitops(&mut self, node: &Node) -> Deploy {
        let pull_request = child(node, "pull-request");
        Deploy::Gitops {
            repo: self.optional(property(node, "repo")),
            branch: self.optional(property(node, "branch")),
            edits: node.children.iter().flatten().filter_map(|edit| self.edit(edit)).collect(),
            commit: self.optional(word(node, "commit")),
            pull_request: pull_request.map(|node| self.pull_request(node)),
        }
    }

    fn pull_request(&mut self, node: &Node) -> PullRequest {
        PullRequest { title: self.optional(property(node, "title")), at: self.forge_access(node) }
    }

    pub(super) fn forge_access(&mut self, node: &Node) -> ForgeAccess {
        ForgeAccess {
            forge: form(property(node, "forge"), forge),
            api: property(node, "api").and_then(text),
            token: property(node, "token").and_then(|value| self.secret(value)),
            span: node.header,
        }
    }

    fn edit(&mut self, node: &Node) -> Option<Spanned<Edit>> {
        let mut path = || argument(node, 0).map(|value| self.template(value));
        let edit = match node.name.value.as_str() {
            "kustomize" => Edit::Kustomize {
                path: path()?,
                image: property(node, "image").and_then(text)?,
                is: property(node, "is").and_then(|value| self.name_of(&[Noun::Image], value)),
                digest: boolean(property(node, "digest")).unwrap_or(false),
            },
            "yaml" => {
                let path = path()?;
                let digest_of = property(node, "digest-of");
                let to = match digest_of.and_then(|value| self.name_of(&[Noun::Image], value)) {
                    Some(image) => NewValue::DigestOf(image),
                    None => NewValue::Text(self.optional(property(node, "to"))?),
                };
                let aliases = boolean(property(node, "aliases")).unwrap_or(false);
                Edit::Yaml { path, set: string(property(node, "set"))?, to, aliases }
            }
            "replace" => {
                let path = path()?;
                let with = self.optional(argument(node, 2))?;
                Edit::Replace { path, regex: argument(node, 1).and_then(text)?, with }
            }
            _ => return None,
        };
        Some(Spanned::new(edit, node.header))
    }

    fn kubectl_set(&mut self, node: &Node) -> Option<KubectlSet> {
        Some(KubectlSet {
            workload: argument(node, 0).and_then(text)?,
            container: string(property(node, "container"))?,
            image: property(node, "image").and_then(|value| self.name_of(&[Noun::Image], value)),
        })
    }
}

fn forge(text: &str) -> Result<Forge, String> {
    match text {
        "github" => Ok(Forge::GitHub),
        "gitlab" => Ok(Forge::GitLab),
        "gitea" => Ok(Forge::Gitea),
        _ => Err("it is none of the forges that hoist knows".to_owned()),
    }
}
