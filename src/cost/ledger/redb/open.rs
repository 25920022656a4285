//! The file before the ledger runs: made where there is none, and rid of what a crash has left open.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use redb::Database;

use super::{
    Recovery,
    file::{self, Booking},
};
use crate::cost::{Amount, Currency, HoldId, Recovered, StoreError, What};

/// Makes the file, unless it is there: under another name first, so that a crash meanwhile leaves
/// no half of one under this.
pub(super) fn make(
    path: &Path,
    currency: Currency,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if path.metadata().is_ok_and(|it| it.len() > 0) {
        return Ok(());
    }
    let mut other = path.as_os_str().to_owned();
    other.push(format!(".{}.new", std::process::id()));
    let other = PathBuf::from(other);
    // What a crash of a process with this number has left.
    let _ = std::fs::remove_file(&other);
    let made = (|| {
        let db = Database::create(&other)?;
        file::load(&db, currency)?;
        db.close()?;
        // An empty file may have been put there for us.
        if path.metadata().is_ok_and(|it| it.len() == 0) {
            std::fs::rename(&other, path)?;
        } else if let Err(error) = std::fs::hard_link(&other, path) {
            // Somebody else was faster: theirs is as good.
            if error.kind() != std::io::ErrorKind::AlreadyExists {
                std::fs::rename(&other, path)?;
            }
        }
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    })();
    let _ = std::fs::remove_file(&other);
    made
}

/// Ends what is open in the file.
pub(super) fn recover(
    db: &Database,
    durable: &mut file::Durable,
    recovery: Recovery,
) -> Result<Vec<Recovered>, StoreError> {
    let at = SystemTime::now();
    let mut ends = Vec::new();
    for (id, (account, held)) in &durable.holds {
        let (hold, held) = (HoldId::new((*id).into()), *held);
        let what = match recovery {
            Recovery::Void => What::Voided { hold, held },
            Recovery::Charge => What::Settled {
                hold,
                held,
                charged: held,
                overrun: Amount::ZERO,
            },
        };
        ends.push((Arc::clone(account), what));
    }
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let bookings = ends
        .iter()
        .map(|(account, what)| Booking { account, at, what });
    let batch = file::commit(db, durable, bookings)?;
    durable.absorb(batch);
    let recovered = ends.into_iter().filter_map(|(account, what)| {
        let (What::Voided { hold, held } | What::Settled { hold, held, .. }) = what else {
            return None;
        };
        let charged = what.charged();
        #[cfg(feature = "tracing")]
        tracing::warn!(account = &*account, %hold, %held, %charged, "ended a hold left open by a crash");
        Some(Recovered {
            hold,
            account,
            held,
            charged,
        })
    });
    Ok(recovered.collect())
}
