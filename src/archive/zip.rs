//! Zip archives, read by the `zip` crate: it walks the directory at the end, one entry at a time, and decodes the data.
//!
//! What is checked here, and which trick it stops:
//!
//! - each name and kind, before any of the data is read: no links, no devices;
//! - each size, and all sizes together, against the archived bytes: else a small archive becomes petabytes, be it by a high
//!   ratio or by many entries that share their data;
//! - what is read to find the directory: the crate would take an end of many gigabytes into memory.
//!
//! The crate sees to it that no entry has more data than its header says, and compares checksums.

use std::io::{self, BufReader, Read, Seek};

use jiff::tz::Offset;
use zip::ExtraField;
use zip::read::{ArchiveOffset, Config, ZipFile, read_zipfile_from_stream};
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;
use zip::{CompressionMethod, DateTime, ZipReadOptions};

use super::entry::{Capped, Entry, EntryKind, Intake, LINK, SPECIAL};
use super::error::{Problem, Stop, printable};

const TYPE_MASK: u32 = 0o170_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_FOLDER: u32 = 0o040_000;
const TYPE_LINK: u32 = 0o120_000;

/// Look at every entry, in the order of the directory.
pub(super) fn read<R: Read + Seek, E>(
    source: &mut R,
    archived: u64,
    intake: &mut Intake<'_, E>,
) -> Result<(), Stop<E>> {
    let limits = intake.limits;
    let beyond = || Problem::Foreign("the end of its directory is longer than any cache needs".into());
    let capped = Capped { inner: BufReader::new(&mut *source), left: limits.header_bytes, beyond };
    let mut archive = match ZipIterable::try_new(capped, Config { archive_offset: ArchiveOffset::Known(0) }) {
        Ok(archive) => archive,
        Err(ZipError::Io(error)) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error.into()),
        Err(_) => {
            intake.last = last_entry(source);
            return Err(Problem::Truncated.into());
        }
    };
    let (mut all_archived, mut all_unpacked) = (0_u64, 0_u64);
    let entries = archive.files()?;
    entries.reader_mut().left = u64::MAX;
    while let Some(found) = entries.next() {
        let found = found?;
        intake.last = Some(printable(found.name_raw()));
        all_archived = all_archived.saturating_add(found.compressed_size());
        all_unpacked = all_unpacked.saturating_add(found.size());
        if all_archived > archived {
            return Err(Problem::Foreign("the entries claim more data than there is".into()).into());
        }
        for (archived, unpacked) in [(found.compressed_size(), found.size()), (archived, all_unpacked)] {
            if unpacked > limits.most_from(archived) {
                return Err(limits.bomb(archived).into());
            }
        }
        if found.encrypted() {
            return Err(Problem::Foreign("it is encrypted".into()).into());
        }
        let mut file = found.with_reader(entries.reader_mut(), ZipReadOptions::new())?;
        let entry = describe(&file, intake)?;
        (intake.visit)(&entry, &mut file)?;
        io::copy(&mut file, &mut io::sink())?;
    }
    Ok(())
}

/// What the directory says of an entry, if it is harmless.
fn describe<R: Read, E>(file: &ZipFile<'_, R>, intake: &mut Intake<'_, E>) -> Result<Entry, Problem> {
    let (name, slash) = intake.admit(file.name_raw())?;
    let kind = match ((file.external_attributes() >> 16) & TYPE_MASK, slash) {
        (TYPE_LINK, _) => return Err(Problem::Foreign(LINK.into())),
        (TYPE_FILE | 0, false) => EntryKind::File,
        (TYPE_FOLDER | 0, true) => EntryKind::Folder,
        (TYPE_FILE | TYPE_FOLDER, _) => {
            return Err(Problem::Damaged("its name and its mode disagree on what it is".into()));
        }
        _ => return Err(Problem::Foreign(SPECIAL.into())),
    };
    match file.compression() {
        CompressionMethod::Stored | CompressionMethod::Deflated | CompressionMethod::Zstd => {}
        #[expect(deprecated, reason = "there is no other way to the number")]
        CompressionMethod::Unsupported(method) => {
            let text = format!("it is compressed by method {method}; larder reads stored, deflated and zstd entries");
            return Err(Problem::Foreign(text.into()));
        }
        _ => return Err(Problem::Foreign("it is compressed by another method than stored, deflated and zstd".into())),
    }
    let seconds = file.extra_data_fields().find_map(|field| match field {
        ExtraField::ExtendedTimestamp(times) => times.mod_time(),
        _ => None,
    });
    let modified = seconds.map(i64::from).or_else(|| unix_time(file.last_modified()?));
    Ok(Entry { name, kind, bytes: file.size(), modified })
}

/// The time of MS-DOS, in steps of two seconds. Its zone is unknown: taken for UTC, as Go does.
fn unix_time(time: DateTime) -> Option<i64> {
    let part = |value: u8| i8::try_from(value).ok();
    let date = jiff::civil::Date::new(i16::try_from(time.year()).ok()?, part(time.month())?, part(time.day())?).ok()?;
    let time = jiff::civil::Time::new(part(time.hour())?, part(time.minute())?, part(time.second())?, 0).ok()?;
    Some(Offset::UTC.to_timestamp(date.to_datetime(time)).ok()?.as_second())
}

/// The last entry that an archive without its end has a header of.
fn last_entry<R: Read + Seek>(source: &mut R) -> Option<String> {
    source.rewind().ok()?;
    let mut reader = BufReader::new(source);
    let mut last = None;
    while let Ok(Some(file)) = read_zipfile_from_stream(&mut reader) {
        last = Some(printable(file.name_raw()));
    }
    last
}

impl From<ZipError> for Problem {
    fn from(error: ZipError) -> Self {
        match error {
            ZipError::Io(error) => error.into(),
            other => Self::Damaged(other.to_string().into()),
        }
    }
}
