//! What documents mean.

use std::time::Duration;

use crate::config::grammar::walk;
use crate::config::tests::{Files, problems, release, release_of, shown};
use crate::config::{
    Address, Base, Bounds, BuildCache, BuildContext, Command, Condition, Deploy, Edit, EventPattern, Expect,
    Image, Place, Recipe, RuleKind, Secret, Severity, Waste, includes,
};
use crate::diagnostic::Sources;
use crate::syntax::parse;

/// Templates, names, and the like as they are written.
fn written<T: ToString>(all: impl IntoIterator<Item = T>) -> Vec<String> {
    all.into_iter().map(|one| one.to_string()).collect()
}

#[test]
fn every_example_of_the_language_decodes() {
    let examples = walk().into_iter().map(|(_, form)| form.example).filter(|example| !example.is_empty());
    assert_eq!(examples.map(release).filter(|release| release.project == "directory").count(), 12);
}

#[test]
fn names_of_an_included_file_have_its_prefix_and_are_found_without_it() {
    let root = r#"
        var "python" "3.12"
        registry "main" "ghcr.io/acme"
        target "lint" { needs "api/lint"; run "true"; }
    "#;
    let api = r#"
        project "api"
        default "lint"
        settings { hoist ">=0.1"; }
        var "own" "{python}"
        target "lint" { needs "unit"; run "echo" "{own}"; }
        target "unit" { run "pytest"; inputs "src/**"; }
        image "web" { dockerfile; push "main"; sign key="file:key.pem"; }
    "#;
    let deep = r#"target "x" { needs "unit" "lint" "api/db/x"; }"#;
    let release = release_of(&[
        ("release.kdl", "", root),
        ("services/api/release.kdl", "api", api),
        ("services/api/db/release.kdl", "api/db", deep),
    ]);
    assert_eq!(release.project, "directory");
    assert!(release.default.is_empty());
    assert_eq!(written(release.targets.keys()), ["lint", "api/lint", "api/unit", "api/db/x"]);
    assert_eq!(written(release.targets["api/lint"].needs.iter().map(|need| &need.value)), ["api/unit"]);
    let outwards = release.targets["api/db/x"].needs.iter().map(|need| &need.value);
    assert_eq!(written(outwards), ["api/unit", "api/lint", "api/db/x"]);
    let inputs = release.targets["api/unit"].inputs.as_ref().unwrap();
    assert_eq!(inputs[0].glob.value, "services/api/src/**");
    let web = &release.images["api/web"];
    assert_eq!(web.push[0].registry.value, "main");
    assert_eq!(web.repository.to_string(), "api/web");
    assert_eq!(web.signs[0].key.value, Secret::File("services/api/key.pem".to_owned()));
    assert_eq!(release.vars["api/own"].value.as_ref().unwrap().to_string(), "{python}");
}

#[test]
fn what_holds_for_the_whole_project_is_not_said_by_an_included_file() {
    let included = "cache dir=\"x\"\nsettings { jobs 2; hoist \">=0.1\"; }\n";
    let files = [("release.kdl", "", ""), ("a/release.kdl", "a", included)];
    let (sources, decoded) = Files(&files).decode();
    let expected = "\
hoist::config::unknown_node: `cache` in an included file
  1:1 `cache` holds for the whole project
  help: move it to the release.kdl of the project's directory
hoist::config::unknown_node: `jobs` in an included file
  2:12 `jobs` holds for the whole project
  help: move it to the release.kdl of the project's directory
";
    assert_eq!(shown(&sources, &decoded.unwrap_err()), expected);
}

#[test]
fn parts_of_one_file_say_once_what_holds_for_the_project() {
    let files = [("release.kdl", "", "project \"a\"\n"), ("ci.kdl", "", "default \"t\"\ntarget \"t\"\n")];
    assert_eq!(release_of(&files).default[0].value, "t");
    let files = [("release.kdl", "", "project \"a\"\n"), ("ci.kdl", "", "project \"b\"\n")];
    let (sources, decoded) = Files(&files).decode();
    let expected = "\
hoist::config::repeated: `project` is given twice
  1:1 `project` given again
  1:1 `project` first given here
  help: join the two, or remove one: a project has one `project`
";
    assert_eq!(shown(&sources, &decoded.unwrap_err()), expected);
}

#[test]
fn includes_are_found_before_anything_is_decoded() {
    let text = "include \"services/*/release.kdl\"\ninclude \"a.kdl\" \"b.kdl\" as=\"x\"\ninclude \"c.kdl\" as=\"a b\"\n";
    let document = parse(Sources::new().add("release.kdl", text), text).unwrap();
    let found = includes(&document);
    let found = found
        .iter()
        .map(|include| (include.pattern.value.as_str(), include.prefix.as_ref().map(|it| it.value.as_str())));
    let expected = [
        ("services/*/release.kdl", None),
        ("a.kdl", Some("x")),
        ("b.kdl", Some("x")),
        ("c.kdl", Some("a b")),
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[test]
fn all_problems_of_a_file_come_at_once_in_its_order() {
    let text = "targt \"a\"\ntarget \"b\" abuot=\"x\" {\n    timeout 10\n}\n";
    let expected = "\
hoist::config::unknown_node: there is no node `targt`
  1:1 `targt` not a node of a release.kdl
  help: did you mean `target`?
hoist::config::unknown_property: `target` has no property `abuot`
  2:12 `abuot` unknown property
  help: did you mean `about`?
hoist::config::wrong_type: the duration of `timeout` must be a string
  3:13 `10` this is a number
  help: write `\"10s\"` for seconds
";
    assert_eq!(problems(text), expected);
}

#[test]
fn a_target_has_all_that_its_node_says() {
    let release = release(
        r#"
        var "python" "3"
        target "lint" about="Lint" {
            needs "a" "b[os={os}]"
            run "ruff check $python"
            run "ruff" "{{x}} {python}-{os}" "{env.HOME}"
            inputs "src/**" "!src/gen"
            inputs "./x/../{os}.txt"
            outputs "out/{os}/"
            env A="{sha}" B="2"
            pass-env "TOKEN" "KEY"
            tool "ruff --version"
            dir "services"
            matrix { os "a" "b"; arch "x"; }
            when os="linux" env="CI"
            when env="A=b" branch="main"
            timeout "1h30m"
            retries 2
            pool "db"
            confirm "Really?"
            interactive
            private #false
            finally "a"
            sandbox
        }
        target "a"
        target "b" { matrix { os "a" "b"; }; }
        pool "db" 2
        "#,
    );
    let lint = &release.targets["lint"];
    assert_eq!(lint.about.as_deref(), Some("Lint"));
    assert_eq!(written(lint.needs.iter().map(|need| &need.value)), ["a", "b[os={os}]"]);
    assert_eq!(lint.run[0].value, Command::Script("ruff check $python".to_owned()));
    let Command::Argv(argv) = &lint.run[1].value else { panic!("an argument vector") };
    assert_eq!(written(argv), ["ruff", "{{x}} {python}-{os}", "{env.HOME}"]);
    let inputs = lint.inputs.as_ref().unwrap().iter().map(|input| (input.glob.value.as_str(), input.negated));
    let expected = [("services/src/**", false), ("services/src/gen", true), ("services/{os}.txt", false)];
    assert_eq!(inputs.collect::<Vec<_>>(), expected);
    assert_eq!(lint.outputs[0].glob.value, "services/out/{os}");
    assert_eq!(written(lint.env.iter().map(|(name, value)| format!("{name}={value}"))), ["A={sha}", "B=2"]);
    assert_eq!(written(lint.pass_env.iter().map(|name| &name.value)), ["TOKEN", "KEY"]);
    assert_eq!(lint.tools[0].value, Command::Script("ruff --version".to_owned()));
    assert_eq!(lint.dir.to_string(), "services");
    assert_eq!(written(lint.matrix.keys()), ["os", "arch"]);
    let when: Vec<Condition> = lint.when.iter().map(|condition| condition.value.clone()).collect();
    let expected = [
        Condition::Env("CI".to_owned(), None),
        Condition::Os("linux".to_owned()),
        Condition::Env("A".to_owned(), Some("b".to_owned())),
        Condition::Branch("main".to_owned()),
    ];
    assert_eq!(when, expected);
    assert_eq!((lint.timeout, lint.retries), (Some(Duration::from_mins(90)), 2));
    assert_eq!(lint.pool.as_ref().map(|pool| pool.value.as_str()), Some("db"));
    assert_eq!((lint.confirm.as_deref(), lint.interactive, lint.private), (Some("Really?"), true, false));
    assert_eq!(lint.finally[0].value, "a");
    assert_eq!(lint.sandbox.map(|sandbox| sandbox.value), Some(true));
    let a = &release.targets["a"];
    assert_eq!((&a.inputs, a.sandbox), (&None, None));
}

fn image(text: &str) -> Image {
    release(&format!(
        "{text}\nregistry \"r\" \"ghcr.io/acme\"\ntags \"t\" {{ latest; }}\nimage \"base\" {{ dockerfile; }}"
    ))
    .images
    .swap_remove("web")
    .unwrap()
}

#[test]
fn a_dockerfile_has_all_that_its_node_says() {
    let web = image(
        r#"
        image "web" {
            dockerfile "docker/Dockerfile" context="src" target="production" network="host" no-cache=#true {
                arg A="{sha}" B="x"
                secret "a" env="A"
                secret "b" file="secret.txt"
                ssh "default"
                context "base" image="base"
                context "lib" dir="lib"
                cache inline=#true
                cache registry="ghcr.io/acme/cache:x" mode="max"
                cache local=".cache"
                cache inline=#false
            }
        }
        "#,
    );
    let Recipe::Dockerfile(dockerfile) = web.recipe else { panic!("a Dockerfile") };
    assert_eq!(
        (dockerfile.path.to_string(), dockerfile.context.to_string()),
        ("docker/Dockerfile".to_owned(), "src".to_owned())
    );
    assert_eq!(
        (dockerfile.target.as_deref(), dockerfile.network.as_deref()),
        (Some("production"), Some("host"))
    );
    assert!(dockerfile.no_cache);
    assert_eq!(written(dockerfile.args.keys()), ["A", "B"]);
    let secrets: Vec<&Secret> = dockerfile.secrets.iter().map(|secret| &secret.from).collect();
    assert_eq!(secrets, [&Secret::Env("A".to_owned()), &Secret::File("secret.txt".to_owned())]);
    assert!(matches!(&dockerfile.contexts[0], BuildContext::Image { image, .. } if image.value == "base"));
    assert!(
        matches!(&dockerfile.contexts[1], BuildContext::Directory { path, .. } if path.to_string() == "lib")
    );
    let caches: Vec<&BuildCache> = dockerfile.caches.iter().map(|cache| &cache.value).collect();
    assert!(matches!(
        caches.as_slice(),
        [BuildCache::Inline, BuildCache::Registry { max: true, .. }, BuildCache::Local(_)]
    ));
}

#[test]
fn a_dockerfile_lies_in_its_context_unless_it_says_where() {
    let web = image("image \"web\" { dockerfile context=\"services/web\"; }");
    let Recipe::Dockerfile(dockerfile) = web.recipe else { panic!("a Dockerfile") };
    assert_eq!(dockerfile.path.to_string(), "services/web/Dockerfile");
}

#[test]
fn an_assembled_image_has_all_that_its_node_says() {
    let web = image(
        r#"
        image "web" {
            assemble from="oci:bases/x:1.2" {
                layer { copy "dist/{platform.arch}/web" "/web" mode="0750" owner="7:8" exclude="*.map" { exclude "a" "b"; }; }
                layer { copy "static/*" "/srv/"; }
                entrypoint "/web"
                cmd "--port" "{number}"
                user "65532"
                workdir "/srv"
                expose 8080 "53/udp"
                volume "/data"
                env PORT="8080"
                stop-signal "SIGINT"
            }
        }
        "#,
    );
    let Recipe::Assemble(assemble) = web.recipe else { panic!("an assembled image") };
    let path = crate::config::ProjectPath::root().join("bases/x").unwrap();
    assert_eq!(assemble.from.value, Base::Layout { path, name: Some("1.2".to_owned()) });
    let copy = &assemble.layers[0].copies[0];
    assert_eq!((copy.mode, copy.uid, copy.gid), (Some(0o750), 7, 8));
    assert_eq!(
        (copy.from.to_string(), copy.to.to_string()),
        ("dist/{platform.arch}/web".to_owned(), "/web".to_owned())
    );
    assert_eq!(written(copy.exclude.iter().map(|glob| &glob.value)), ["*.map", "a", "b"]);
    let plain = &assemble.layers[1].copies[0];
    assert_eq!((plain.mode, plain.uid, plain.gid), (None, 0, 0));
    assert_eq!(written(assemble.cmd.unwrap()), ["--port", "{number}"]);
    assert_eq!(assemble.expose, ["8080/tcp", "53/udp"]);
    assert_eq!(assemble.stop_signal.as_deref(), Some("SIGINT"));
    assert_eq!(
        written(assemble.user.iter().chain(&assemble.workdir).chain(&assemble.volumes)),
        ["65532", "/srv", "/data"]
    );
}

#[test]
fn bases_are_nothing_a_layout_an_image_or_a_reference() {
    let from = |from: &str| match image(&format!("image \"web\" {{ assemble from={from:?}; }}")).recipe {
        Recipe::Assemble(assemble) => assemble.from.value,
        Recipe::Dockerfile(_) => panic!("an assembled image"),
    };
    assert_eq!(from("scratch"), Base::Scratch);
    assert_eq!(from("image:base"), Base::Image("base".to_owned()));
    assert!(matches!(from("oci:base"), Base::Layout { name: None, .. }));
    assert!(
        matches!(from("alpine:{date:%Y}"), Base::Reference(reference) if reference.to_string() == "alpine:{date:%Y}")
    );
}

#[test]
fn an_image_is_checked_named_and_published_as_its_node_says() {
    let web = image(
        r#"
        image "web" about="Web" {
            repository "team/{project}"
            dockerfile
            platforms "linux/amd64" "linux/aarch64"
            label com.example.team="core" "b c"="{version}"
            tags "t" { raw "x"; }
            tags { sha; }
            budget size="500MB" layers=20 wasted="5%"
            test "a b" { env K="v"; run "x"; entrypoint "y" "z"; expect exit=3 stdout="ok" stderr="no"; timeout "30s"; }
            expect user="!root" label="a=b" file="/x" port=80
            expect user="web" label="a"
            scan "trivy" { allow "CVE-1" until="2027-01-31" reason="x"; }
            sign key="command:pass key"
            attest provenance=#true sbom="dist/sbom.json"
            push "r" on="pr,tag"
        }
        "#,
    );
    assert_eq!(web.repository.to_string(), "team/{project}");
    assert_eq!(written(web.platforms.iter().map(|platform| &platform.value)), ["linux/amd64", "linux/arm64"]);
    assert_eq!(written(web.labels.keys()), ["com.example.team", "b c"]);
    assert!(matches!(&web.tags[0].kind, RuleKind::Latest));
    assert!(matches!(&web.tags[1].kind, RuleKind::Raw(_)));
    assert!(matches!(&web.tags[2].kind, RuleKind::Sha { short: false, .. }));
    let budget = web.budget.unwrap().value;
    assert_eq!(
        (budget.size, budget.layers, budget.wasted),
        (Some(500_000_000), Some(20), Some(Waste::Percent(5.0)))
    );
    let test = &web.tests[0];
    assert_eq!((test.name.value.as_str(), test.timeout), ("a b", Some(Duration::from_secs(30))));
    assert!(matches!(test.expects[0].value, Expect::Exit(3)));
    let expects: Vec<Expect> = web.expects.iter().map(|expect| expect.value.clone()).collect();
    let expected = [
        Expect::User { name: "root".to_owned(), not: true },
        Expect::Label("a".to_owned(), Some("b".to_owned())),
        Expect::File("/x".to_owned()),
        Expect::Port(80),
        Expect::User { name: "web".to_owned(), not: false },
        Expect::Label("a".to_owned(), None),
    ];
    assert_eq!(expects, expected);
    assert_eq!(
        (web.scans[0].fail_on, written([web.scans[0].allow[0].until.value])),
        (Severity::High, vec!["2027-01-31".to_owned()])
    );
    assert_eq!(web.signs[0].key.value, Secret::Command("pass key".to_owned()));
    assert_eq!(web.provenance.map(|provenance| provenance.value), Some(true));
    assert_eq!(web.sbom.map(|sbom| sbom.to_string()).as_deref(), Some("dist/sbom.json"));
    assert_eq!(web.push[0].on, ["pr", "tag"]);
}

#[test]
fn publishing_is_for_branches_tags_and_schedules_unless_it_says_so() {
    assert_eq!(image("image \"web\" { dockerfile; push \"r\"; }").push[0].on, ["branch", "tag", "schedule"]);
}

#[test]
fn rules_are_narrowed_by_events_and_branches() {
    let release = release(
        r#"
        tags "t" {
            semver "{version}" "{major}" prefix="api/v" zero=#true immutable=#true
            branch "{branch}-latest" match="develop, {a,b}-*"
            describe on="branch,tag" branch="main"
            date clock="now"
            calver
            match "^v(.*)-(.*)$" "{1}-{2}-{0}"
        }
        "#,
    );
    let rules = &release.tag_sets["t"].rules;
    let RuleKind::Semver { templates, prefix, zero } = &rules[0].kind else { panic!("semver") };
    assert_eq!(
        (written(templates), *zero, rules[0].immutable),
        (written(["{version}", "{major}"]), true, Some(true))
    );
    assert_eq!(prefix.as_ref().map(|prefix| prefix.value.as_str()), Some("api/v"));
    assert_eq!(rules[1].narrow.branches, ["develop", "{a,b}-*"]);
    assert_eq!(
        (&rules[2].narrow.on, &rules[2].narrow.branches),
        (&written(["branch", "tag"]), &written(["main"]))
    );
    assert!(matches!(&rules[3].kind, RuleKind::Date { format, now: true } if format.value == "%Y%m%d"));
    assert!(matches!(&rules[4].kind, RuleKind::Calver { format, now: false } if format.value == "%Y.%m"));
    assert!(
        matches!(&rules[5].kind, RuleKind::Match { templates, .. } if written(templates) == ["{1}-{2}-{0}"])
    );
}

#[test]
fn a_stage_has_all_that_its_node_says() {
    let example = walk().into_iter().find(|(path, form)| path.is_empty() && form.name == "stage").unwrap();
    let release = release(example.1.example);
    let stage = &release.stages["production"];
    assert_eq!(stage.on[0].value, EventPattern::Tag("v*.*.*".to_owned()));
    assert_eq!(stage.from.iter().map(|from| from.value.as_str()).collect::<Vec<_>>(), ["staging"]);
    let require = &stage.require.as_ref().unwrap().value;
    assert_eq!(
        (require.tests, require.scan, require.soak),
        (true, Some(Severity::High), Some(Duration::from_hours(24)))
    );
    let [gitops, kubectl, compose, run] = stage.deploys.as_slice() else { panic!("four deployments") };
    let Deploy::Gitops { edits, pull_request, .. } = &gitops.value else { panic!("gitops") };
    assert!(matches!(&edits[2].value, Edit::Replace { regex, .. } if regex.value == "newTag:.*"));
    assert!(pull_request.as_ref().is_some_and(|request| request.title.is_some()));
    assert!(
        matches!(&kubectl.value, Deploy::Kubectl { sets, .. } if sets[0].workload.value == "deployment/django")
    );
    assert!(matches!(&compose.value, Deploy::Compose { services, .. } if services[0].value == "web"));
    assert!(matches!(&run.value, Deploy::Run(commands) if commands.len() == 1));
    let verify = &stage.verify.as_ref().unwrap().value;
    assert_eq!((verify.within, verify.rollback, verify.http[0].status), (Duration::from_mins(5), true, 200));
}

#[test]
fn what_holds_for_the_project_has_its_defaults() {
    let none = release("");
    assert_eq!(none.settings.shell, ["sh", "-eu", "-c"]);
    assert!(none.cache.registry);
    let said = release(
        r#"
        project "p"
        settings { jobs 3; shell "bash" "-c"; timeout "5m"; }
        default "test" "web:*"
        dotenv ".env" "ci/.env"
        cache dir="~/c" max-size="1GiB" registry=#false { remote "grpcs://x" instance="m" read-only=#true; }
        execute "grpcs://y" { platform OSFamily="linux"; }
        builder "arm" "ssh://ci@arm" platforms="linux/arm64, linux/arm/v7"
        builder "big" "tcp://big:2376" ca="ca.pem" cert="client.pem" key="env:KEY"
        registry "out" "oci:dist/images"
        registry "lab" "lab:5000/{project}" insecure=#true ca="ca.pem"
        registry "tls" "lab:5001" cert="client.pem" key="client.key"
        registry "env" "lab:5002" cert="client.pem" key="env:KEY"
        "#,
    );
    assert_eq!(
        (said.project.as_str(), said.settings.jobs, said.settings.timeout),
        ("p", Some(3), Some(Duration::from_mins(5)))
    );
    assert_eq!(said.settings.shell, ["bash", "-c"]);
    assert_eq!(written(said.default.iter().map(|name| &name.value)), ["test", "web:*"]);
    assert_eq!(written(said.dotenv.iter().map(|file| &file.value)), [".env", "ci/.env"]);
    assert_eq!((said.cache.max_size, said.cache.registry), (Some(1 << 30), false));
    assert!(said.cache.remote.is_some_and(|remote| remote.read_only && remote.instance == "m"));
    assert_eq!(said.execute.unwrap().platform["OSFamily"], "linux");
    assert_eq!(
        written(said.builders["arm"].platforms.iter().map(|platform| &platform.value)),
        ["linux/arm64", "linux/arm/v7"]
    );
    let big = &said.builders["big"];
    assert_eq!(written(big.ca.iter().map(|ca| &ca.value)), ["ca.pem"]);
    assert_eq!(
        big.client.as_ref().map(|client| client.key.value.clone()),
        Some(Secret::Env("KEY".to_owned()))
    );
    assert!(
        matches!(&said.registries["out"].place, Place::Layout(path) if path.to_string() == "dist/images")
    );
    assert!(
        matches!(&said.registries["lab"].place, Place::Remote(place) if place.to_string() == "lab:5000/{project}")
    );
    let key = |name: &str| said.registries[name].client.as_ref().map(|client| client.key.value.clone());
    assert_eq!(key("tls"), Some(Secret::File("client.key".to_owned())));
    assert_eq!(key("env"), Some(Secret::Env("KEY".to_owned())));
    assert_eq!(said.registries["tls"].secrets().count(), 1);
}

#[test]
fn variables_that_stand_in_each_other_without_end_are_refused_and_not_followed() {
    let chain = |count: usize| {
        let vars = (0..count).map(|at| format!("var \"v{at}\" \"{{v{}}}{{v{}}}\"\n", at + 1, at + 1));
        vars.collect::<String>() + &format!("var \"v{count}\" \"x\"\n")
    };
    assert_eq!(release(&chain(64)).vars.len(), 65);
    assert_eq!(
        problems(&chain(3000)).lines().next(),
        Some("hoist::config::invalid_template: the variable `v2935` is nested too deeply")
    );
}

#[test]
fn what_is_said_of_a_builder_is_what_an_engine_can_be_reached_at() {
    let texts = ["unix:///run/x.sock", "tcp://h:1", "ssh://u@h:2/s", "tcp://h", "unix://x", "ssh://", "h:1"];
    for text in texts {
        let document = format!("builder \"b\" \"{text}\"");
        let (_, decoded) = Files(&[("release.kdl", "", &document)]).decode();
        assert_eq!(decoded.is_ok(), Address::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn registries_and_stages_say_what_is_kept() {
    let release = release(
        r#"
        registry "r" "ghcr.io/acme" {
            retain "develop-*" "pr-*" last=10 younger="30d"
            retain "*-rc.*" last=3 versions=#true
        }
        stage "staging" { on branch="main"; retain younger="90d"; record; }
        stage "develop" { on branch="develop"; }
        "#,
    );
    let kept =
        |last, days: Option<u64>| Bounds { last, younger: days.map(|days| Duration::from_hours(24 * days)) };
    let [first, second] = release.registries["r"].retains.as_slice() else { panic!("two rules") };
    assert_eq!(
        (&first.matches[..], first.versions),
        (&["develop-*".to_owned(), "pr-*".to_owned()][..], false)
    );
    assert_eq!((&second.matches[..], second.versions), (&["*-rc.*".to_owned()][..], true));
    assert_eq!((first.bounds, second.bounds), (kept(Some(10), Some(30)), kept(Some(3), None)));
    assert_eq!(release.stages["staging"].retain, Some(kept(None, Some(90))));
    assert_eq!(release.stages["develop"].retain, None);
    let records = |stage: &str| release.stages[stage].record.as_ref().map(|record| record.value);
    assert_eq!((records("staging"), records("develop")), (Some(true), None));
}

#[test]
fn a_directory_that_holds_an_included_file_is_an_output_only_without_that_or_in_place() {
    let decoded = |outputs: &str| {
        let main = format!("include \"api/*.kdl\"\ntarget \"a\" {{ run \"x\"; {outputs}; }}");
        let files = [("release.kdl", "", main.as_str()), ("api/more.kdl", "api", "")];
        let (sources, decoded) = Files(&files).decode();
        decoded.map(drop).map_err(|problems| shown(&sources, &problems))
    };
    let problem = "hoist::config::invalid_value: `api` cannot be an output\n  \
        2:31 `\"api\"` holds `api/more.kdl`, which would be moved away to make room\n  \
        help: name what is made in it, or take the file out: `\"!api/more.kdl\"`\n";
    assert_eq!(decoded("outputs \"api\""), Err(problem.to_owned()));
    assert!(decoded("outputs \"api/**\"").is_err());
    for right in [
        "outputs \"api\" \"!api/more.kdl\"",
        "outputs \"api\" \"!api/*.kdl\"",
        "inputs \"api/**\"; outputs \"api/**\"",
        "outputs \"api/*\"",
        "outputs \"api/dist\" \"*.kdl\" \"release.kdl.bak\"",
    ] {
        assert_eq!(decoded(right), Ok(()), "{right}");
    }
}
