//! Whether the pull request by which a commit came approves it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::Forge;
use crate::deploy::Project;
use crate::deploy::forge::encoded;
use crate::diagnostic::{Code, Problem};
use crate::facts::short;

/// The least access to a project of GitLab with which one may push: that of a developer.
const DEVELOPER: u64 = 30;

/// A pull request that was merged, and by which a commit came.
struct Merged {
    /// Where its API tells of it.
    api: String,
    /// Where it is seen.
    address: String,
    /// Who asked for it.
    author: String,
    /// Who merged it, if the forge says so.
    by: Option<String>,
    /// The commit that was merged.
    head: String,
}

impl Project {
    /// Who, other than its author, approved or merged a pull request by which a commit came,
    /// into `base` if there is one: `ada approved https://…/7`. The commit has to be what the
    /// merge made, or the head that was merged: of others of the pull request nobody said that
    /// they are good without those that follow. Who approves has to be allowed to write. Of
    /// GitHub and Gitea an approval counts that is of the head, and the last word of who gave
    /// it; no bot of GitHub approves. Of GitLab an approval counts that stands.
    ///
    /// # Errors
    /// Nobody did, and why; the forge does not answer, or refuses. All of it is
    /// [`Code::PullRequest`].
    pub async fn approval(&self, commit: &str, base: Option<&str>, token: &str) -> Result<String, Problem> {
        let into = base.map(|base| format!(" to `{base}`")).unwrap_or_default();
        let mut why = unapproved(format!(
            "no merged pull request of `{}` brought commit `{}`{into}",
            self.path,
            short(commit)
        ));
        for found in self.brought(commit, token).await? {
            let merged = match self.merged(&found, commit, base) {
                Ok(Some(merged)) => merged,
                Ok(None) => continue,
                Err(problem) => {
                    why = problem;
                    continue;
                }
            };
            let (approved, doubts) = self.approvers(&merged, token).await?;
            if !approved.is_empty() {
                return Ok(format!("{} approved {}", approved.join(", "), merged.address));
            }
            if let Some(who) = merged.by.filter(|who| *who != merged.author) {
                return Ok(format!("{who} merged {}", merged.address));
            }
            let nobody = unapproved(format!("nobody but its author approved or merged {}", merged.address));
            why = doubts.into_iter().fold(nobody, |why, doubt| why.note(doubt.title).maybe_help(doubt.help));
        }
        Err(why)
    }

    /// The merged pull requests by which a commit came, each as a whole.
    async fn brought(&self, commit: &str, token: &str) -> Result<Vec<Value>, Problem> {
        let address = self.requests_of(commit);
        if self.forge == Forge::Gitea {
            let found = self.find_at(&address, token).await?;
            if found.is_none() {
                // It answers so, too, where the token may not see the repository.
                self.check(token).await?;
            }
            return Ok(found.into_iter().collect());
        }
        let number = if self.forge == Forge::GitLab { "iid" } else { "number" };
        let mut all = Vec::new();
        let listed = self.pages(&address, token).await?;
        for found in listed.into_iter().filter(|found| self.is_merged(found)) {
            // Another repository has other numbers.
            all.push(match found[number].as_u64().filter(|_| self.has(&found)) {
                Some(number) => self.read(&format!("{}/{number}", self.requests()), token).await?,
                None => found,
            });
        }
        Ok(all)
    }

    fn is_merged(&self, found: &Value) -> bool {
        match self.forge {
            Forge::GitHub => found["merged_at"].is_string(),
            Forge::Gitea => found["merged"] == true,
            Forge::GitLab => found["state"] == "merged",
        }
    }

    /// Whether a pull request is for this repository. GitLab tells of no others.
    fn has(&self, found: &Value) -> bool {
        let of = found["base"]["repo"]["full_name"].as_str();
        self.forge == Forge::GitLab || of.is_some_and(|of| of.eq_ignore_ascii_case(&self.path))
    }

    /// A pull request, if it was merged, and into this branch; an error says why the commit is
    /// not what was approved by it.
    fn merged(&self, found: &Value, commit: &str, base: Option<&str>) -> Result<Option<Merged>, Problem> {
        let (number, target) = match self.forge {
            Forge::GitHub | Forge::Gitea => ("number", &found["base"]["ref"]),
            Forge::GitLab => ("iid", &found["target_branch"]),
        };
        if !self.is_merged(found) || base.is_some_and(|base| target != base) {
            return Ok(None);
        }
        let address = self.seen(found);
        if !self.has(found) {
            return Err(unapproved(format!("{address} is for another repository than `{}`", self.path)));
        }
        let (author, by, head) = match self.forge {
            Forge::GitHub | Forge::Gitea => {
                (&found["user"], person(&found["merged_by"]), &found["head"]["sha"])
            }
            Forge::GitLab => {
                let by = person(&found["merge_user"]).or_else(|| person(&found["merged_by"]));
                (&found["author"], by, &found["sha"])
            }
        };
        let (Some(number), Some(author), Some(head)) = (found[number].as_u64(), name(author), head.as_str())
        else {
            return Ok(None);
        };
        let made = [&found["merge_commit_sha"], &found["squash_commit_sha"]].map(Value::as_str);
        if head != commit && !made.contains(&Some(commit)) {
            let title = format!(
                "commit `{}` is neither what merging {address} made, nor the head that was merged",
                short(commit)
            );
            let made = made.into_iter().flatten().next().unwrap_or(head);
            return Err(unapproved(title).help(format!("release commit `{}`", short(made))));
        }
        let api = format!("{}/{number}", self.requests());
        Ok(Some(Merged { api, address, author, by, head: head.to_owned() }))
    }

    /// Who approved what was merged, but for its author; and why others who did do not count.
    async fn approvers(&self, merged: &Merged, token: &str) -> Result<(Vec<String>, Vec<Problem>), Problem> {
        let (mut approved, mut doubts) = (Vec::new(), Vec::new());
        for (who, given) in self.approvals(merged, token).await? {
            if who == merged.author {
                continue;
            }
            match self.may_write(&who, &given, token).await {
                Ok(true) => approved.push(who),
                Ok(false) => {
                    let title = format!("the approval of `{who}` does not count, who may not write there");
                    doubts.push(unapproved(title));
                }
                Err(problem) => {
                    let title = format!(
                        "whether `{who}`, who approved it, may write there is not known: {}",
                        problem.sentence()
                    );
                    let help = "the token has to be one that may ask who may write there";
                    doubts.push(unapproved(title).help(help));
                }
            }
        }
        Ok((approved, doubts))
    }

    /// The approvals of what was merged that stand, by who gave them.
    async fn approvals(&self, merged: &Merged, token: &str) -> Result<BTreeMap<String, Value>, Problem> {
        let Merged { api, head, .. } = merged;
        if self.forge == Forge::GitLab {
            let found = self.read(&format!("{api}/approvals"), token).await?;
            let given = found["approved_by"].as_array().into_iter().flatten();
            return Ok(given.filter_map(|given| Some((person(&given["user"])?, given.clone()))).collect());
        }
        let mut last: BTreeMap<String, Value> = BTreeMap::new();
        for review in self.pages(&format!("{api}/reviews"), token).await? {
            let decides = ["APPROVED", "CHANGES_REQUESTED", "REQUEST_CHANGES", "DISMISSED"];
            if review["state"].as_str().is_some_and(|state| decides.contains(&state)) {
                last.extend(person(&review["user"]).map(|who| (who, review)));
            }
        }
        last.retain(|_, review| {
            review["state"] == "APPROVED" && review["dismissed"] != true && review["commit_id"] == **head
        });
        Ok(last)
    }

    /// Whether who gave an approval may write to the repository. Who can read it can approve
    /// on GitHub and Gitea; on GitLab guests can in some versions, and reporters by a rule.
    async fn may_write(&self, who: &str, given: &Value, token: &str) -> Result<bool, Problem> {
        let address = self.address();
        match self.forge {
            // So Gitea calls what a person may say who may write, or whom the branch's rule names.
            Forge::Gitea => Ok(given["official"] == true),
            Forge::GitHub => {
                let address = format!("{address}/collaborators/{}/permission", encoded(who));
                let said = self.read(&address, token).await?;
                Ok(["admin", "maintain", "write"].iter().any(|may| said["permission"] == *may))
            }
            Forge::GitLab => {
                let id = &given["user"]["id"];
                let member = self.find_at(&format!("{address}/members/all/{id}"), token).await?;
                Ok(member.is_some_and(|member| member["access_level"].as_u64() >= Some(DEVELOPER)))
            }
        }
    }
}

fn unapproved(title: String) -> Problem {
    Problem::new(Code::PullRequest, title)
}

/// The name of a user.
fn name(user: &Value) -> Option<String> {
    user["login"].as_str().or_else(|| user["username"].as_str()).map(str::to_owned)
}

/// The name of a user who is no bot.
fn person(user: &Value) -> Option<String> {
    name(user).filter(|_| user["type"] != "Bot")
}
