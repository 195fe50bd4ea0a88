//! Whether a reader of a log is so far behind that a batch has to wait.

use std::time::Duration;

use domain::{Position, Timestamp};
use store::{Backend, Log, Reader, Result};

/// How far behind a reader may be by its mark: a second, and the second in which it may not have written its mark.
const MOST: Duration = Duration::from_secs(2);

/// The first reader that has not looked at something for longer than it may.
pub(super) async fn behind(backend: &dyn Backend, now: Timestamp) -> Result<Option<&'static str>> {
    let late = now.minus(MOST);
    for (reader, log) in [(Reader::Flows, Log::Inbox), (Reader::Webhooks, Log::Events)] {
        let (heads, marks) = (backend.heads(log).await?, backend.watermarks(reader).await?);
        let Some((shard, mark)) = furthest(&heads, &marks) else { continue };
        let waiting = match log {
            Log::Inbox => backend.read_inbox(shard, mark, 1).await?.first().map(|row| row.received_at),
            Log::Events => backend.read_events(shard, mark, 1).await?.first().map(|row| row.recorded_at),
        };
        if waiting.is_some_and(|since| since < late) {
            return Ok(Some(reader.name()));
        }
    }
    // These look at passes, by the number of the event that changed them last; other events are not theirs.
    let heads = backend.heads(Log::Events).await?;
    let (wallets, google) = (Reader::WalletSync, Reader::Google);
    // Together, as their looks keep a distance from each other.
    let behind = tokio::try_join!(has_changed(backend, wallets, &heads, late), has_changed(backend, google, &heads, late))?;
    Ok([wallets, google].into_iter().zip([behind.0, behind.1]).find_map(|(reader, behind)| behind.then(|| reader.name())))
}

/// Whether a pass changed by then that a reader has not looked at.
async fn has_changed(backend: &dyn Backend, reader: Reader, heads: &[u64], by: Timestamp) -> Result<bool> {
    let Some((shard, mark)) = furthest(heads, &backend.watermarks(reader).await?) else { return Ok(false) };
    let (seq, _) = backend.changed_passes(shard, mark, 1).await?;
    if seq == mark {
        return Ok(false);
    }
    let changed = backend.events_at(&[Position { shard, seq }]).await?;
    Ok(changed.first().is_some_and(|row| row.recorded_at < by))
}

/// The shard in which most is unread, with the reader's mark.
fn furthest(heads: &[u64], marks: &[u64]) -> Option<(u16, u64)> {
    let shards = (0_u16..).zip(heads.iter().zip(marks));
    let unread = shards.map(|(shard, (head, mark))| (head.saturating_sub(*mark), shard, *mark));
    unread.max().filter(|(unread, ..)| *unread > 0).map(|(_, shard, mark)| (shard, mark))
}
