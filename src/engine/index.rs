//! Joins the images of several platforms.

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Index, media_type};
use crate::plan::IndexStep;
use crate::store::Layout;

/// Writes the index over the manifests of a step's platforms, which are given in
/// the same order. With one platform its manifest is passed on as it is.
///
/// # Errors
/// Another number of manifests than platforms; the layout cannot be written.
pub fn index(step: &IndexStep, manifests: &[Descriptor], images: &Layout) -> Result<Descriptor, Problem> {
    if manifests.len() != step.platforms.len() {
        let (found, expected) = (manifests.len(), step.platforms.len());
        let title = format!("an index over {expected} platforms was given {found} manifests");
        return Err(Problem::new(Code::Assemble, title));
    }
    if let [only] = manifests {
        return Ok(only.clone());
    }
    let entries = step.platforms.iter().zip(manifests).map(|((platform, _), manifest)| {
        let mut entry = Descriptor::new(&manifest.media_type, manifest.digest, manifest.size);
        entry.platform = Some(platform.clone());
        entry
    });
    let mut index = Index::new(entries.collect());
    index.annotations.clone_from(&step.annotations);
    images.write(media_type::INDEX, &index.to_bytes())
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;
    use crate::plan::StepIndex;

    fn step(platforms: &[&str]) -> IndexStep {
        let platforms = platforms.iter().map(|platform| (platform.parse().unwrap(), StepIndex(0)));
        IndexStep {
            platforms: platforms.collect(),
            annotations: IndexMap::from([("a".to_owned(), "b".to_owned())]),
            local: Vec::new(),
        }
    }

    #[test]
    fn an_index_names_the_platform_of_each_manifest() {
        let directory = tempfile::tempdir().unwrap();
        let images = Layout::create(directory.path()).unwrap();
        let amd = images.write(media_type::MANIFEST, b"{\"a\":1}").unwrap();
        let arm = images.write(media_type::MANIFEST, b"{\"b\":1}").unwrap();
        let step = step(&["linux/amd64", "linux/arm/v7"]);
        let written = index(&step, &[amd.clone(), arm.clone()], &images).unwrap();
        let with = |manifest: &Descriptor, platform: &str| Descriptor {
            platform: Some(platform.parse().unwrap()),
            ..manifest.clone()
        };
        let mut expected = Index::new(vec![with(&amd, "linux/amd64"), with(&arm, "linux/arm/v7")]);
        expected.annotations = step.annotations.clone();
        assert_eq!(Index::parse(&images.read(&written).unwrap()), Ok(expected));
    }

    #[test]
    fn the_only_platform_needs_no_index() {
        let directory = tempfile::tempdir().unwrap();
        let images = Layout::create(directory.path()).unwrap();
        let only = Descriptor::of(media_type::MANIFEST, b"{}");
        assert_eq!(index(&step(&["linux/amd64"]), std::slice::from_ref(&only), &images), Ok(only));
        assert_eq!(index(&step(&["linux/amd64"]), &[], &images).unwrap_err().code, Code::Assemble);
    }
}
