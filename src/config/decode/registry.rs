//! Registries.

use crate::config::decode::Decoder;
use crate::config::decode::read::{argument, boolean, child, children, form, number, property, string};
use crate::config::{Bounds, ClientCertificate, Login, Place, Registry, Retain, Secret, value};
use crate::diagnostic::{Code, Problem, Spanned};
use crate::oci::RepositoryName;
use crate::syntax::{Node, Value};

impl Decoder<'_> {
    pub(super) fn registry(&mut self, node: &Node) -> Option<Registry> {
        let name = self.declared(node);
        let place = argument(node, 1).and_then(|value| self.place(value));
        let ca = property(node, "ca").and_then(|value| self.path(value));
        let login = child(node, "login").and_then(|login| self.login(login));
        let insecure = boolean(property(node, "insecure")).unwrap_or(false);
        let client = self.client_certificate(node);
        let retains = children(node, "retain").map(retain).collect();
        Some(Registry { name: name?, place: place?, insecure, ca, client, login, retains })
    }

    /// `cert=` and `key=`, which belong together.
    pub(super) fn client_certificate(&mut self, node: &Node) -> Option<ClientCertificate> {
        let (given, missing) = match (property(node, "cert"), property(node, "key")) {
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (self.path(certificate), self.key(key));
                return Some(ClientCertificate { certificate: certificate?, key: key? });
            }
            (Some(certificate), None) => (certificate, "key"),
            (None, Some(key)) => (key, "cert"),
            (None, None) => return None,
        };
        let problem =
            Problem::new(Code::MissingProperty, format!("`{}` needs `{missing}=`, too", node.name.value))
                .label(given.span, "a certificate and its key belong together")
                .help("write `cert=\"client.pem\" key=\"client.key\"`");
        self.problems.push(problem);
        None
    }

    /// The place of a secret, or the path of a file.
    fn key(&mut self, value: &Value) -> Option<Spanned<Secret>> {
        let text = value.as_str()?;
        let is_place = ["env:", "file:", "command:"].iter().any(|scheme| text.starts_with(scheme));
        // A text of several lines may be the key itself, which no message repeats.
        if is_place || text.is_empty() || text.contains('\n') {
            return self.secret(value);
        }
        Some(Spanned::new(Secret::File(self.secret_path(text)), value.span))
    }

    fn login(&mut self, node: &Node) -> Option<Login> {
        let username = property(node, "username").map(|value| self.template(value));
        let password = property(node, "password").and_then(|value| self.secret(value));
        Some(Login { username: username?, password: password? })
    }

    fn place(&mut self, value: &Value) -> Option<Place> {
        let text = value.as_str()?;
        if let Some(dir) = text.strip_prefix("oci:") {
            return self.joined(dir, value.part(4..text.len())).map(Place::Layout);
        }
        let template = self.template(value);
        if let Some(text) = template.literal()
            && let Err((why, help)) = host_and_prefix(&text)
        {
            let problem = Problem::new(Code::InvalidReference, format!("`{text}` is not a registry"))
                .label(value.span, why)
                .help(help);
            self.problems.push(problem);
        }
        Some(Place::Remote(template))
    }
}

fn retain(node: &Node) -> Retain {
    Retain {
        matches: node.arguments.iter().filter_map(|value| string(Some(value))).collect(),
        bounds: bounds(node),
        versions: boolean(property(node, "versions")).unwrap_or(false),
    }
}

/// `last=` and `younger=`.
pub(super) fn bounds(node: &Node) -> Bounds {
    Bounds { last: number(property(node, "last")), younger: form(property(node, "younger"), value::duration) }
}

/// Whether a text is `host[:port][/prefix]`; else why not, and what to write.
fn host_and_prefix(text: &str) -> Result<(), (String, String)> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let help = match scheme {
            "http" => format!("write `\"{rest}\" insecure=#true`"),
            _ => format!("write `\"{rest}\"`"),
        };
        return Err(("a registry is written without a scheme".to_owned(), help));
    }
    let such = "such as `ghcr.io/acme` or `localhost:5000`".to_owned();
    let name = format!("{}/x", text.trim_end_matches('/')).parse::<RepositoryName>();
    let name = name.map_err(|why| (why.to_string(), such.clone()))?;
    let host = text.split('/').next().unwrap_or_default();
    if name.host() == host || matches!(host, "docker.io" | "index.docker.io") {
        Ok(())
    } else {
        Err((
            format!("`{host}` is not a host"),
            format!("for Docker Hub write `docker.io/{text}`; else {such}"),
        ))
    }
}
