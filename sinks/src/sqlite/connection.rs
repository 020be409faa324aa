//! Opening the file, and what its errors mean.

use crate::file_place;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::Path;
use std::time::Duration;
use stream::Fault;

/// How long to wait for another connection's lock.
const LOCK_DEADLINE: Duration = Duration::from_secs(5);
/// The write-ahead log is cut back to this after a checkpoint.
const LOG_BYTES: u32 = 64 << 20;

/// Open for writing; create the file and its folder if need be.
pub(super) fn open(path: &Path) -> Result<Connection, Fault> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| {
            Fault::transient(
                format!("cannot create the folder {}", folder.display()),
                error,
                "check sink.sqlite.path and the permissions of the folder above",
            )
        })?;
    }
    let connection = Connection::open(path).map_err(|error| fault(path, &error))?;
    let settings =
        format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = {LOG_BYTES};");
    let prepared = connection.busy_timeout(LOCK_DEADLINE).and_then(|()| connection.execute_batch(&settings));
    prepared.map_err(|error| fault(path, &error))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Whether the file could be opened for writing; nothing is left behind.
pub(super) fn probe(path: &Path) -> Result<(), Fault> {
    file_place::probe(path).map_err(|error| {
        Fault::transient(
            format!("cannot use the tables in {}", path.display()),
            error,
            "check sink.sqlite.path, the permissions of its folder, and the disk",
        )
    })
}

/// Open for reading; none if there is no file yet.
pub(super) fn open_to_read(path: &Path) -> Result<Option<Connection>, Fault> {
    if !path.exists() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| fault(path, &error))?;
    connection.busy_timeout(LOCK_DEADLINE).map_err(|error| fault(path, &error))?;
    Ok(Some(connection))
}

/// Whether a migration has been applied yet.
pub(super) fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'topk_job'", [], |row| row.get(0))
}

/// An error of SQLite in our words.
pub(super) fn fault(path: &Path, error: &rusqlite::Error) -> Fault {
    let what = format!("cannot use the tables in {}", path.display());
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Fault::transient(what, error, "another program holds the file's lock: end it, or wait for it")
        }
        Some(ErrorCode::DiskFull) => Fault::transient(what, error, "make room on the disk"),
        Some(
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::SystemIoFailure,
        ) => Fault::transient(what, error, "check the file, its folder's permissions, and the disk"),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Fault::failed(
            what,
            error,
            "move the file away and start again: it is rebuilt from the journal while that reaches back",
        ),
        _ => Fault::failed(what, error, "look whether something else changed these tables, then start again"),
    }
}
