//! The client against a real registry, and against servers that misbehave.

mod download;
mod lists;
mod logins;
mod misbehaving;
mod real;
mod referrers;
mod tls;
mod upload;
mod whole;

use std::sync::Arc;

use crate::config::Secret;
use crate::diagnostic::{Sources, Span, Spanned};
use crate::store::fixture::{Answer, Received};
use crate::store::{Access, Layout, Network, Observe, Registry, Repository, Surroundings};

/// A network without any credentials of the machine, but with these variables.
fn network(variables: &[(&str, &str)]) -> Network {
    let environment = variables.iter().copied().collect();
    Network::new(Surroundings { root: "/nonexistent".into(), environment })
}

async fn registry(network: &Network, name: &str, access: &Access) -> Registry {
    network.open(&name.parse().unwrap(), access).await.unwrap()
}

async fn open(name: &str) -> Registry {
    registry(&network(&[]), name, &Access::default()).await
}

fn at(registry: &Registry) -> Repository {
    Repository::Registry(registry.clone())
}

fn local(layout: &Layout) -> Repository {
    Repository::Layout(layout.clone())
}

fn layout() -> (tempfile::TempDir, Layout) {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::create(directory.path()).unwrap();
    (directory, layout)
}

/// The answer of a registry that has all that a layout has.
fn handed_out(images: &Layout, request: &Received) -> Answer {
    let asked = request.line.rsplit('/').next().unwrap();
    match asked.parse().map(|digest| std::fs::read(images.blob_path(&digest))) {
        Ok(Ok(bytes)) => Answer::new("200 OK").body(bytes),
        _ => Answer::new("404 Not Found"),
    }
}

fn login(user: &str) -> Access {
    let span = Span::new(Sources::new().add("release.kdl", ""), 0..0);
    let password = Spanned::new(Secret::Env("PASSWORD".to_owned()), span);
    Access { login: Some((user.to_owned(), password)), ..Access::default() }
}

fn quiet() -> Observe {
    Arc::new(|_| {})
}
