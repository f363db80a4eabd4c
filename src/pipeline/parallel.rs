//! Work for all processors: hashing and copying.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::error::RunError;
use crate::reporter::{Phase, Reporter};

/// A file to hash or to copy.
pub(crate) struct Task<T> {
    /// What progress calls it.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// What it is.
    pub subject: T,
}

/// Do the work of a phase, whose progress is reported. Each piece of work tells how many more bytes it has done. All of it is
/// done before the first error is returned.
pub(crate) fn in_phase<T: Sync, R: Send>(
    reporter: &dyn Reporter,
    phase: Phase,
    tasks: &[Task<T>],
    work: impl Fn(&T, &dyn Fn(usize)) -> Result<R, RunError> + Sync,
) -> Result<Vec<R>, RunError> {
    let progress = reporter.phase(phase, tasks.len() as u64, Some(tasks.iter().map(|task| task.bytes).sum()));
    let results = in_parallel(tasks.len(), &|number| {
        let task = &tasks[number];
        let item = progress.item(&task.name, Some(task.bytes));
        let done = work(&task.subject, &|bytes| item.read(bytes));
        item.finish();
        done
    });
    progress.finish();
    results.into_iter().collect()
}

/// Do `work` for the numbers below `count`, on as many threads as there are processors. The results are in their order.
pub(crate) fn in_parallel<T: Send>(count: usize, work: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count).min(16);
    let next = AtomicUsize::new(0);
    let take_next = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count);
    let worker = || std::iter::from_fn(|| take_next().map(|number| (number, work(number)))).collect::<Vec<_>>();
    let mut done: Vec<(usize, T)> = tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
            let joined = workers.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined.flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    });
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}
