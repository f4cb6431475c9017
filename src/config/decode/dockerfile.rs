//! Images that are built from a Dockerfile.

use crate::config::decode::Decoder;
use crate::config::decode::names::Noun;
use crate::config::decode::read::{argument, boolean, children, property, string, text, words};
use crate::config::{BuildCache, BuildContext, BuildSecret, Dockerfile, Secret, Template};
use crate::diagnostic::{Code, Problem, Spanned};
use crate::oci::Reference;
use crate::syntax::{Node, Value};

impl Decoder<'_> {
    pub(super) fn dockerfile(&mut self, node: &Node) -> Option<Dockerfile> {
        let context = match property(node, "context") {
            Some(value) => self.path(value)?,
            None => Spanned::new(self.home.clone(), node.header),
        };
        let path = match argument(node, 0) {
            Some(value) => self.path(value)?,
            None => Spanned::new(context.value.join("Dockerfile").ok()?, node.header),
        };
        Some(Dockerfile {
            path,
            context,
            target: string(property(node, "target")),
            network: string(property(node, "network")),
            no_cache: boolean(property(node, "no-cache")).unwrap_or(false),
            args: self.assignments(node, "arg"),
            secrets: children(node, "secret").filter_map(|secret| self.build_secret(secret)).collect(),
            ssh: words(node, "ssh").filter_map(text).collect(),
            contexts: children(node, "context").filter_map(|context| self.build_context(context)).collect(),
            caches: children(node, "cache").filter_map(|cache| self.build_cache(cache)).collect(),
            span: node.header,
        })
    }

    fn build_secret(&mut self, node: &Node) -> Option<BuildSecret> {
        let env = string(property(node, "env")).map(Secret::Env);
        let file = property(node, "file").and_then(Value::as_str);
        let from = env.or_else(|| file.map(|path| Secret::File(self.secret_path(path))));
        Some(BuildSecret { id: argument(node, 0).and_then(text)?, from: from? })
    }

    fn build_context(&mut self, node: &Node) -> Option<BuildContext> {
        let name = argument(node, 0).and_then(text)?;
        match (property(node, "image"), property(node, "dir")) {
            (Some(image), _) => {
                let image = self.name_of(&[Noun::Image], image)?;
                Some(BuildContext::Image { name, image })
            }
            (None, Some(dir)) => Some(BuildContext::Directory { name, path: self.path(dir)?.value }),
            (None, None) => None,
        }
    }

    fn build_cache(&mut self, node: &Node) -> Option<Spanned<BuildCache>> {
        let cache = if let Some(registry) = property(node, "registry") {
            let reference = self.reference(registry);
            BuildCache::Registry { reference, max: string(property(node, "mode")).as_deref() == Some("max") }
        } else if let Some(local) = property(node, "local") {
            BuildCache::Local(self.path(local)?.value)
        } else if boolean(property(node, "inline")).unwrap_or(false) {
            BuildCache::Inline
        } else {
            return None;
        };
        if let (Some(mode), false) = (property(node, "mode"), matches!(cache, BuildCache::Registry { .. })) {
            let problem = Problem::new(Code::Conflict, "`mode` without `registry`")
                .label(mode.span, "only a cache in a registry has a mode")
                .help("remove `mode=`");
            self.problems.push(problem);
        }
        Some(Spanned::new(cache, node.header))
    }

    /// A template that, where it is known, is an image reference.
    pub(super) fn reference(&mut self, value: &Value) -> Template {
        let template = self.template(value);
        if let Some(text) = template.literal()
            && let Err(why) = text.parse::<Reference>()
        {
            let problem = Problem::new(Code::InvalidReference, format!("`{text}` is not an image reference"))
                .label(value.span, why.to_string())
                .help("such as `alpine:3.20` or `ghcr.io/acme/web@sha256:…`");
            self.problems.push(problem);
        }
        template
    }
}
