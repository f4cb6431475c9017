//! What holds for the whole project.

use indexmap::IndexMap;
use semver::Version;

use crate::config::decode::Decoder;
use crate::config::decode::names::full;
use crate::config::decode::read::{
    argument, boolean, child, children, form, number, property, string, text, word,
};
use crate::config::{
    Address, Builder, CacheSettings, Execute, LoadedDocument, Pool, Release, RemoteCache, Secret, Settings,
    Template, Var, value,
};
use crate::diagnostic::{Code, Problem, Problems, Spanned};
use crate::oci::Platform;
use crate::syntax::{Document, Node, Value};

/// Refuses a document that asks for another hoist.
pub(super) fn check_version(document: &Document) -> Result<(), Problem> {
    let settings = document.nodes.iter().filter(|node| node.name.value == "settings");
    for asked in settings.filter_map(|settings| word(settings, "hoist")) {
        let Some(requirement) = form(Some(asked), value::requirement) else { continue };
        let this = env!("CARGO_PKG_VERSION");
        if Version::parse(this).is_ok_and(|this| !requirement.matches(&this)) {
            return Err(Problem::new(
                Code::NewerHoist,
                format!("the file is written for hoist {requirement}"),
            )
            .label(asked.span, format!("this is hoist {this}"))
            .help(format!("install hoist {requirement}")));
        }
    }
    Ok(())
}

/// Nodes that hold for the whole project are said once in all its parts.
pub(super) fn check_once(documents: &[LoadedDocument], problems: &mut Problems) {
    for name in ["project", "default", "settings", "cache", "execute"] {
        let parts = documents.iter().filter(|loaded| loaded.prefix.is_empty());
        let first_in = |loaded: &LoadedDocument| {
            loaded.document.nodes.iter().find(|node| node.name.value == name).map(|node| node.name.span)
        };
        let mut said = parts.filter_map(first_in);
        let Some(first) = said.next() else { continue };
        problems.extend(said.map(|again| {
            Problem::new(Code::Repeated, format!("`{name}` is given twice"))
                .label(again, "given again")
                .label(first, "first given here")
                .help(format!("join the two, or remove one: a project has one `{name}`"))
        }));
    }
}

impl Decoder<'_> {
    /// A node of the file that the project was found by.
    pub(super) fn of_project(&mut self, node: &Node, release: &mut Release) {
        match node.name.value.as_str() {
            "project" => release.project = string(argument(node, 0)).unwrap_or_default(),
            "default" => {
                release.default = node.arguments.iter().filter_map(|value| self.goal(value)).collect();
            }
            "settings" => release.settings = settings(node),
            "cache" => release.cache = self.cache(node),
            "execute" => release.execute = self.execute(node),
            _ => {}
        }
    }

    /// A node of an included file that would hold for the whole project.
    pub(super) fn not_of_project(&mut self, node: &Node) {
        let name = node.name.value.as_str();
        let others = node.children.iter().flatten().filter(|child| child.name.value != "hoist");
        let refused: Vec<&Node> = match name {
            "cache" | "execute" => vec![node],
            "settings" => others.collect(),
            _ => return,
        };
        for refused in refused {
            let what = &refused.name.value;
            let problem = Problem::new(Code::UnknownNode, format!("`{what}` in an included file"))
                .label(refused.name.span, "holds for the whole project")
                .help("move it to the release.kdl of the project's directory");
            self.problems.push(problem);
        }
    }

    /// The name that a node declares, with the document's prefix.
    pub(super) fn declared(&self, node: &Node) -> Option<Spanned<String>> {
        argument(node, 0).and_then(text).map(|name| name.map(|name| full(self.prefix, &name)))
    }

    pub(super) fn var(&mut self, node: &Node) -> Option<Var> {
        Some(Var {
            name: self.declared(node)?,
            value: argument(node, 1).map(|value| self.template(value)),
            env: string(property(node, "env")),
            about: string(property(node, "about")),
        })
    }

    pub(super) fn pool(&mut self, node: &Node) -> Option<Pool> {
        Some(Pool { name: self.declared(node)?, size: number(argument(node, 1)).unwrap_or(1) })
    }

    pub(super) fn builder(&mut self, node: &Node) -> Option<Builder> {
        let name = self.declared(node)?;
        let address = argument(node, 1).map(|value| self.engine(value))?;
        let platforms = property(node, "platforms").into_iter().flat_map(platforms).collect();
        let ca = property(node, "ca").and_then(|value| self.path(value));
        let client = self.client_certificate(node);
        self.check_certificates(node, &address.value, client.as_ref().map(|client| &client.key));
        Some(Builder { name, address, platforms, ca, client })
    }

    /// Where an engine listens; what fields stand for is checked when they are known.
    fn engine(&mut self, value: &Value) -> Spanned<Template> {
        let template = self.template(value);
        if let Some(text) = template.literal()
            && let Err(why) = Address::parse(&text)
        {
            // What is wrong with it may be that it holds a password.
            let problem = Problem::new(Code::InvalidValue, "that is not the address of an engine")
                .label(value.span, why)
                .help("such as `ssh://user@host`, `tcp://host:2376`, or `unix:///run/podman/podman.sock`");
            self.problems.push(problem);
        }
        Spanned::new(template, value.span)
    }

    /// Certificates belong to TCP, and a client's to an authority.
    fn check_certificates(&mut self, node: &Node, address: &Template, key: Option<&Spanned<Secret>>) {
        let first = ["ca", "cert", "key"].into_iter().find_map(|name| property(node, name));
        let Some(first) = first else { return };
        let address = address.literal().and_then(|text| Address::parse(&text).ok());
        if address.is_some_and(|address| !matches!(address, Address::Tcp(_))) {
            let problem = Problem::new(Code::UnknownProperty, "certificates for what is not reached by TLS")
                .label(first.span, "belongs to an address with `tcp://`")
                .help("leave it out: ssh has its own keys, and a socket needs none");
            self.problems.push(problem);
        } else if property(node, "ca").is_none() {
            let problem = Problem::new(Code::MissingProperty, "`builder` needs `ca=`, too")
                .label(first.span, "belongs to an engine that a certificate authority vouches for")
                .help("write `ca=\"ca.pem\"`");
            self.problems.push(problem);
        }
        if let Some(Spanned { value: Secret::Command(_), span }) = key {
            let problem = Problem::new(Code::InvalidValue, "the key of a builder does not come of a command")
                .label(*span, "is read from a file or a variable")
                .help("write the path of the file, or `env:NAME`");
            self.problems.push(problem);
        }
    }

    fn address(&mut self, value: &Value) -> Spanned<Template> {
        let template = self.template(value);
        if let Some(text) = template.literal()
            && text.split_once("://").is_none_or(|(scheme, rest)| scheme.is_empty() || rest.is_empty())
        {
            let problem = Problem::new(Code::InvalidValue, format!("`{text}` is not an address"))
                .label(value.span, "has no scheme")
                .help("such as `grpcs://cache.example.com`");
            self.problems.push(problem);
        }
        Spanned::new(template, value.span)
    }

    fn cache(&mut self, node: &Node) -> CacheSettings {
        let remote = child(node, "remote").and_then(|remote| {
            Some(RemoteCache {
                address: argument(remote, 0).map(|value| self.address(value))?,
                instance: string(property(remote, "instance")).unwrap_or_default(),
                read_only: boolean(property(remote, "read-only")).unwrap_or(false),
                span: remote.header,
            })
        });
        CacheSettings {
            dir: property(node, "dir").and_then(text),
            max_size: form(property(node, "max-size"), value::size),
            registry: boolean(property(node, "registry")).unwrap_or(true),
            remote,
        }
    }

    fn execute(&mut self, node: &Node) -> Option<Execute> {
        let address = argument(node, 0).map(|value| self.address(value))?;
        let properties = children(node, "platform").flat_map(|platform| &platform.properties);
        let platform: IndexMap<String, String> = properties
            .filter_map(|property| Some((property.name.value.clone(), string(Some(&property.value))?)))
            .collect();
        let instance = string(property(node, "instance")).unwrap_or_default();
        Some(Execute { address, instance, platform, span: node.header })
    }
}

fn settings(node: &Node) -> Settings {
    let default = Settings::default();
    let shell: Option<Vec<String>> = child(node, "shell")
        .map(|shell| shell.arguments.iter().filter_map(|word| string(Some(word))).collect());
    Settings {
        jobs: number(word(node, "jobs")),
        shell: shell.unwrap_or(default.shell),
        timeout: form(word(node, "timeout"), value::limit),
    }
}

/// The platforms of a comma-separated list.
fn platforms(value: &Value) -> Vec<Spanned<Platform>> {
    let words = value::list(value.as_str().unwrap_or_default()).into_iter();
    words.filter_map(|(range, word)| Some(Spanned::new(word.parse().ok()?, value.part(range)))).collect()
}
