//! Asking about many things at the same time.

use tokio::task::JoinSet;

use crate::diagnostic::{Code, Problem};
use crate::store::Repository;

/// Things that are asked about at the same time.
const AT_ONCE: usize = 8;

/// What `ask` says of each thing in a repository, such as a tag, in their order. `what`
/// names the work where it is stopped.
///
/// # Errors
/// The first that `ask` fails with.
pub async fn each<I, T, F>(
    repository: &Repository,
    things: Vec<I>,
    what: &str,
    ask: impl Fn(Repository, I) -> F,
) -> Result<Vec<T>, Problem>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Problem>> + Send + 'static,
{
    let mut waiting = things.into_iter().enumerate();
    let (mut asking, mut answers) = (JoinSet::new(), Vec::new());
    loop {
        while asking.len() < AT_ONCE
            && let Some((at, thing)) = waiting.next()
        {
            let asked = ask(repository.clone(), thing);
            asking.spawn(async move { asked.await.map(|answer| (at, answer)) });
        }
        let Some(answered) = asking.join_next().await else { break };
        let answered = answered.map_err(|error| {
            Problem::new(Code::Interrupted, format!("{what} was stopped")).note(error.to_string())
        });
        answers.push(answered??);
    }
    answers.sort_by_key(|(at, _)| *at);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}
