//! Base images that lie in the project, as OCI image layouts.

use std::fs;
use std::io;
use std::path::Path;

use crate::config::{Base, ProjectPath};
use crate::diagnostic::{Code, Problem, Spanned, nearest};
use crate::facts::{ResolvedBase, nearest_path};
use crate::oci::{
    Descriptor, Digest, Foreign, ImageConfig, Index, MAX_DOCUMENT, Manifest, Platform, media_type,
};

/// The annotation by which a layout names its images.
const NAME: &str = "org.opencontainers.image.ref.name";

/// Finds a base. One of a registry, and one that is built in the same run, is
/// known later.
pub(super) fn resolve(root: &Path, base: &Spanned<Base>) -> Result<ResolvedBase, Problem> {
    match &base.value {
        Base::Scratch | Base::Image(_) | Base::Reference(_) => Ok(ResolvedBase::Later),
        Base::Layout { path, name } => {
            let found = in_layout(root, path, name.as_deref());
            found.map_err(|problem| problem.label(base.span, "the base of this image"))
        }
    }
}

fn in_layout(root: &Path, path: &ProjectPath, name: Option<&str>) -> Result<ResolvedBase, Problem> {
    let layout = root.join(path.as_path());
    let lies_inside = || Some(layout.canonicalize().ok()?.starts_with(root.canonicalize().ok()?));
    if lies_inside() == Some(false) {
        let title = format!("the layout `{path}` leads out of the project");
        return Err(Problem::new(Code::OutsideProject, title).help("copy it into the project"));
    }
    if layout.is_file() {
        let title = format!("`{path}` is a file, and not the directory of an OCI image layout");
        let help = format!("`skopeo copy oci-archive:{path} oci:DIR:TAG` makes one of an archive");
        return Err(Problem::new(Code::UnknownBase, title).help(help));
    }
    let bytes = read(&layout.join("index.json")).map_err(|error| {
        let near = nearest_path(root, path.as_path()).map(|near| format!("did you mean `oci:{near}`?"));
        Problem::new(Code::UnknownBase, format!("`{path}` is not an OCI image layout"))
            .help(format!("`hoist copy IMAGE oci:{path}:TAG` makes one"))
            .maybe_help(near)
            .note(format!("{path}/index.json: {error}"))
    })?;
    let index = Index::parse(&bytes).map_err(|error| {
        Problem::new(Code::UnknownBase, format!("the index of the layout `{path}` cannot be read"))
            .note(format!("{path}/index.json: {error}"))
    })?;
    let mut descriptor = choose(path, &index, name)?.clone();
    let mut bytes = blob(&layout, path, &descriptor)?;
    if media_type::is_index(&descriptor.media_type)
        && let Ok(index) = Index::parse(&bytes)
        && index.is_open()
    {
        let flat = index.flat(|inner| nested(&layout, path, inner))?;
        let read = |document: &Descriptor| Ok::<_, Problem>(blob(&layout, path, document).ok());
        bytes = flat.with_platforms(read)?.to_bytes();
    }
    if let Some(kind) = artifact(&bytes) {
        let title = format!("`{}` of the layout `{path}` is not an image", descriptor.digest);
        return Err(
            Problem::new(Code::UnknownBase, title).note(format!("it is an artifact of the type {kind}"))
        );
    }
    if let Some(platform) = platform(&layout, path, &bytes) {
        descriptor.platform = Some(platform);
    }
    Ok(ResolvedBase::Found(Box::new(descriptor), bytes.into()))
}

/// An index in the index of a base.
fn nested(layout: &Path, path: &ProjectPath, index: &Descriptor) -> Result<Index, Problem> {
    Index::parse(&blob(layout, path, index)?).map_err(|error| {
        let title = format!("the layout `{path}` has an index that cannot be read");
        Problem::new(Code::UnknownBase, title).note(format!("{}: {error}", index.digest))
    })
}

/// What a manifest is of, if that is no image.
fn artifact(manifest: &[u8]) -> Option<String> {
    let Manifest { config, artifact_type, .. } = Manifest::parse(manifest).ok()?;
    (!media_type::is_config(&config.media_type)).then(|| artifact_type.unwrap_or(config.media_type))
}

/// What the configuration of a manifest says that the image is for. `None` of an
/// index; and of what cannot be read, which is told when an image is made of it.
fn platform(layout: &Path, path: &ProjectPath, manifest: &[u8]) -> Option<Platform> {
    let config = Manifest::parse(manifest).ok()?.config;
    if config.size > MAX_DOCUMENT {
        return None;
    }
    ImageConfig::parse(&blob(layout, path, &config).ok()?).ok().map(|config| config.platform())
}

fn choose<'a>(path: &ProjectPath, index: &'a Index, name: Option<&str>) -> Result<&'a Descriptor, Problem> {
    let all = &index.manifests;
    let is_meant = |one: &&Foreign| match name {
        Some(name) => one.annotations.get(NAME).is_some_and(|own| own == name),
        None => all.is_empty(),
    };
    if let Some(foreign) = index.foreign.iter().find(is_meant) {
        let title = format!("`{}` of the layout `{path}` cannot be read", foreign.digest);
        return Err(Problem::new(Code::UnknownBase, title).note(foreign.why.to_string()));
    }
    let names = || all.iter().filter_map(called);
    let Some(name) = name else {
        let first = all.first().filter(|first| all.iter().all(|other| other.digest == first.digest));
        return first.ok_or_else(|| {
            let count = if all.is_empty() { "no image" } else { "several images" };
            let example = names().next().map(|name| format!("`oci:{path}:{name}` names one of them"));
            Problem::new(Code::UnknownBase, format!("the layout `{path}` has {count}")).maybe_help(example)
        });
    };
    let digest: Option<Digest> = name.parse().ok();
    let is_it = |descriptor: &&Descriptor| {
        digest.map_or(called(descriptor) == Some(name), |it| it == descriptor.digest)
    };
    all.iter().find(is_it).ok_or_else(|| {
        let list = names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let near = nearest(name, names()).map(|near| format!("did you mean `oci:{path}:{near}`?"));
        Problem::new(Code::UnknownBase, format!("the layout `{path}` has no image `{name}`"))
            .maybe_help((!list.is_empty()).then(|| format!("it has {list}")))
            .maybe_help(near)
    })
}

fn called(descriptor: &Descriptor) -> Option<&str> {
    descriptor.annotations.get(NAME).map(String::as_str)
}

/// A document. What is none is not waited for, and of what is too large nothing is read.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    if found.len() > MAX_DOCUMENT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large"));
    }
    fs::read(path)
}

/// Reads a blob, which must be what its descriptor says.
fn blob(layout: &Path, path: &ProjectPath, descriptor: &Descriptor) -> Result<Vec<u8>, Problem> {
    let file = format!("blobs/sha256/{}", descriptor.digest.hex());
    let bytes = read(&layout.join(&file)).map_err(|error| {
        let title = format!("the layout `{path}` is without `{}`", descriptor.digest);
        Problem::new(Code::UnknownBase, title).note(format!("{path}/{file}: {error}"))
    })?;
    if bytes.len() as u64 == descriptor.size && Digest::of(&bytes) == descriptor.digest {
        return Ok(bytes);
    }
    Err(Problem::new(Code::DigestMismatch, format!("`{path}/{file}` is not what the layout says"))
        .note(format!("it has {} bytes with the digest {}", bytes.len(), Digest::of(&bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::fixture::{Files, base};

    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

    /// Adds an image, whose manifest may be any text here, under a name.
    fn image(files: &Files, text: &str, name: Option<&str>) -> Descriptor {
        let mut descriptor = Descriptor::of(MANIFEST, text.as_bytes());
        files.repo.write(&format!("base/blobs/sha256/{}", descriptor.digest.hex()), text);
        descriptor.annotations.extend(name.map(|name| (NAME.to_owned(), name.to_owned())));
        descriptor
    }

    fn index(files: &Files, manifests: &[Descriptor]) {
        files
            .repo
            .write("base/index.json", &String::from_utf8(Index::new(manifests.to_vec()).to_bytes()).unwrap());
    }

    fn ask(files: &Files, name: Option<&str>) -> Result<ResolvedBase, Problem> {
        resolve(&files.path(""), &base("base", name))
    }

    fn refused(files: &Files, name: Option<&str>) -> (Code, String, Option<String>) {
        let problem = ask(files, name).unwrap_err();
        assert_eq!(problem.labels.len(), 1);
        (problem.code, problem.title, problem.help)
    }

    #[test]
    fn a_base_is_found_by_its_tag_by_its_digest_and_as_the_only_one() {
        let files = Files::with(&[]);
        let (one, two) = (image(&files, "one", Some("1")), image(&files, "two", Some("2")));
        let found = |descriptor: &Descriptor, text: &str| {
            Ok(ResolvedBase::Found(Box::new(descriptor.clone()), text.as_bytes().into()))
        };
        index(&files, &[one.clone(), two.clone()]);
        assert_eq!(ask(&files, Some("2")), found(&two, "two"));
        assert_eq!(ask(&files, Some(&one.digest.to_string())), found(&one, "one"));
        index(&files, &[one.clone(), image(&files, "one", None)]);
        assert_eq!(ask(&files, None), found(&one, "one"));
    }

    #[test]
    fn a_base_without_an_index_is_for_the_platform_of_its_configuration() {
        let files = Files::with(&[]);
        let platform: Platform = "linux/s390x".parse().unwrap();
        let config = ImageConfig::new(&platform).to_bytes();
        let descriptor = Descriptor::of("application/vnd.oci.image.config.v1+json", &config);
        let path = format!("base/blobs/sha256/{}", descriptor.digest.hex());
        files.repo.write(&path, std::str::from_utf8(&config).unwrap());
        let manifest = String::from_utf8(Manifest::new(descriptor, Vec::new()).to_bytes()).unwrap();
        let one = image(&files, &manifest, Some("1"));
        index(&files, std::slice::from_ref(&one));
        let found = |platform| {
            let descriptor = Descriptor { platform, ..one.clone() };
            Ok(ResolvedBase::Found(Box::new(descriptor), manifest.as_bytes().into()))
        };
        assert_eq!(ask(&files, None), found(Some(platform)));
        fs::remove_file(files.path(&path)).unwrap();
        assert_eq!(ask(&files, None), found(None));
    }

    #[test]
    fn an_index_in_the_index_of_a_base_is_as_good_as_what_is_in_it() {
        let files = Files::with(&[]);
        let nest = |named: Descriptor| {
            let bytes = Index::new(vec![named]).to_bytes();
            let descriptor = Descriptor::of(media_type::INDEX, &bytes);
            let path = format!("base/blobs/sha256/{}", descriptor.digest.hex());
            files.repo.write(&path, std::str::from_utf8(&bytes).unwrap());
            descriptor
        };
        let one = image(&files, "one", None);
        let top = nest(nest(one.clone()));
        index(&files, std::slice::from_ref(&top));
        let flat = Index::new(vec![one]).to_bytes();
        assert_eq!(ask(&files, None), Ok(ResolvedBase::Found(Box::new(top), flat.into())));
    }

    #[test]
    fn a_base_that_is_not_named_clearly_is_told_with_those_that_are_there() {
        let files = Files::with(&[]);
        index(&files, &[image(&files, "one", Some("stable")), image(&files, "two", Some("edge"))]);
        let unknown = |title: &str, help: &str| (Code::UnknownBase, title.to_owned(), Some(help.to_owned()));
        let several = unknown("the layout `base` has several images", "`oci:base:stable` names one of them");
        assert_eq!(refused(&files, None), several);
        let near = unknown("the layout `base` has no image `stabel`", "did you mean `oci:base:stable`?");
        assert_eq!(refused(&files, Some("stabel")), near);
        let far = unknown("the layout `base` has no image `3.20`", "it has `stable`, `edge`");
        assert_eq!(refused(&files, Some("3.20")), far);
        index(&files, &[]);
        assert_eq!(
            refused(&files, None),
            (Code::UnknownBase, "the layout `base` has no image".to_owned(), None)
        );
    }

    #[test]
    fn a_layout_that_is_damaged_or_none_is_told() {
        let files = Files::with(&[]);
        let help = Some("`hoist copy IMAGE oci:base:TAG` makes one".to_owned());
        let none = (Code::UnknownBase, "`base` is not an OCI image layout".to_owned(), help);
        assert_eq!(refused(&files, None), none);
        let one = image(&files, "one", Some("1"));
        index(&files, std::slice::from_ref(&one));
        let file = format!("base/blobs/sha256/{}", one.digest.hex());
        files.repo.write(&file, "another");
        assert_eq!(
            refused(&files, None),
            (Code::DigestMismatch, format!("`{file}` is not what the layout says"), None)
        );
        fs::remove_file(files.path(&file)).unwrap();
        assert_eq!(
            refused(&files, None),
            (Code::UnknownBase, format!("the layout `base` is without `{}`", one.digest), None)
        );
        files.repo.write("base/index.json", "{}");
        assert_eq!(refused(&files, None).1, "the index of the layout `base` cannot be read");
    }
}
