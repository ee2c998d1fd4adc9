//! What the process uses of the machine, and what there is.
//!
//! Floor 0.

use std::{
    fs, hint, io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use rustix::process::{Resource, Rlimit};

/// Where control groups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Has the allocator give back the memory that it keeps for later.
///
/// mimalloc does so some time after memory was freed, but only when a thread asks it for fresh
/// pages; while publishers wait, no thread may. (Measured: a broker that had handed out 270 MB of
/// messages stayed at 314 MB for as long as it was idle, and its publishers were blocked for good.)
/// The blocks are not written to, so they take no memory themselves. Other allocators do no harm.
pub fn give_back_memory() {
    const BLOCK_BYTES: usize = 8 << 20;
    // At each time it looks at a quarter of what it keeps.
    for _ in 0..8 {
        drop(hint::black_box(Vec::<u8>::with_capacity(BLOCK_BYTES)));
    }
}

/// Memory that this process has in use; none where the system does not say.
pub fn memory_used() -> Option<u64> {
    field(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS")
}

/// Files and sockets that this process has open; none where the system does not say.
pub fn open_files() -> Option<u64> {
    // The directory that is looked into is one of them.
    Some((fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1))
}

/// What to do where too few files may be open.
pub const MORE_FILES: &str =
    "raise the limit of open files with ulimit -n, or LimitNOFILE in the unit of systemd";

/// Files and sockets that this process may have open; none where there is no limit.
pub fn open_files_max() -> Option<u64> {
    rustix::process::getrlimit(Resource::Nofile).current
}

/// Lets this process have as many files open as it may allow itself. Shells and service managers
/// begin with fewer, for programs that cannot count beyond 1024.
pub fn raise_open_files_max() -> io::Result<()> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(());
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    Ok(rustix::process::setrlimit(Resource::Nofile, raised)?)
}

/// Whether that is what the system says when this process may open no more files.
pub fn is_out_of_files(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error())
}

/// A limit of this process by the system's name for it; none where there is none.
fn limit(kind: &str) -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix(kind))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Threads that there may be: of this user, or on this machine where the user has no limit.
pub fn threads_max() -> Option<u64> {
    let of_machine =
        || fs::read_to_string("/proc/sys/kernel/threads-max").ok()?.trim().parse().ok();
    limit("Max processes").or_else(of_machine)
}

/// Threads of this process.
pub fn threads() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:"))?;
    threads.trim().parse().ok()
}

/// Lets the system back this process's memory with huge pages, or has it not do so. Gives back
/// whether it did before; an error where the system has nothing of the kind.
pub fn allow_huge_pages(is_allowed: bool) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        let was_allowed = !rustix::thread::transparent_huge_pages_are_disabled()?;
        rustix::thread::disable_transparent_huge_pages(!is_allowed)?;
        Ok(was_allowed)
    }
    #[cfg(not(target_os = "linux"))]
    Err(io::Error::from(io::ErrorKind::Unsupported)).map(|()| is_allowed)
}

/// Memory that this process may use: the machine's, or what its container is given of that.
pub fn memory_available() -> Option<u64> {
    let machine = field(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")?;
    let group = fs::read_to_string("/proc/self/cgroup").ok();
    let given = group.and_then(|group| cgroup_limit(Path::new(CGROUPS), &group));
    Some(given.map_or(machine, |given| machine.min(given)))
}

/// What tells one content of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl FileStamp {
    /// That of the file at this path; none if there is no file.
    pub fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        let changed = (file.mtime(), file.mtime_nsec());
        Some(Self { inode: file.ino(), bytes: file.size(), changed })
    }
}

/// Space on the disk of `path` that programs without privileges may fill.
pub fn disk_free(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The bytes in a line `name:   1234 kB`.
fn field(text: &str, name: &str) -> Option<u64> {
    let kib = |line: &str| {
        let value = line.strip_prefix(name)?.strip_prefix(':')?.strip_suffix(" kB")?;
        value.trim_start().parse::<u64>().ok()?.checked_mul(1024)
    };
    text.lines().find_map(kib)
}

/// The lowest limit of memory of the groups that `/proc/self/cgroup` names and of those above
/// them. Each line there is `number:controllers:path`.
fn cgroup_limit(root: &Path, cgroup: &str) -> Option<u64> {
    let limit = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        if (number, controllers) == ("0", "") {
            // No limit is called `max`.
            return lowest_limit(root, path, "memory.max");
        }
        // The first version has a tree for each controller, and no limit is a huge number.
        let is_of_memory = controllers.split(',').any(|controller| controller == "memory");
        let tree = is_of_memory.then(|| root.join("memory"))?;
        lowest_limit(&tree, path, "memory.limit_in_bytes")
    };
    cgroup.lines().filter_map(limit).min()
}

/// The lowest number in the files of this name in a group and those above it.
fn lowest_limit(tree: &Path, path: &str, file: &str) -> Option<u64> {
    let names = Path::new(path).components().filter(|part| matches!(part, Component::Normal(_)));
    let group: PathBuf = names.collect();
    let limits = group.ancestors().filter_map(|group| {
        let text = fs::read_to_string(tree.join(group).join(file)).ok()?;
        text.trim().parse::<u64>().ok()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn huge_pages_can_be_refused_and_allowed() {
        let before = allow_huge_pages(false).unwrap();
        assert!(!allow_huge_pages(true).unwrap());
        assert!(allow_huge_pages(before).unwrap());
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "VmRSSX:\t 1 kB\nVmPeak:\t  20 kB\nVmRSS:\t   300 kB\nThreads:\t4\n";
        assert_eq!(field(text, "VmRSS"), Some(300 * 1024));
        assert_eq!(field(text, "Threads"), None);
        assert_eq!(field(text, "VmSwap"), None);
    }

    #[test]
    fn lowest_limit_on_the_way_up_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("a/b/c");
        fs::create_dir_all(&group).unwrap();
        let limit = |cgroup: &str| cgroup_limit(root.path(), cgroup);
        assert_eq!(limit("0::/a/b/c\n"), None);
        fs::write(group.join("memory.max"), "max\n").unwrap();
        assert_eq!(limit("0::/a/b/c\n"), None);
        fs::write(root.path().join("a/memory.max"), "5000\n").unwrap();
        assert_eq!(limit("0::/a/b/c\n"), Some(5000));
        fs::write(group.join("memory.max"), "4000\n").unwrap();
        assert_eq!(limit("12:cpu:/x\n0::/a/b/c\n"), Some(4000));
        assert_eq!(limit("0::/a\n"), Some(5000));
        assert_eq!(limit("0::/\n"), None);
        // In a container the root is that of the container.
        fs::write(root.path().join("memory.max"), "3000\n").unwrap();
        assert_eq!(limit("0::/\n"), Some(3000));
        assert_eq!(limit("12:memory:/docker\n"), None);
    }

    #[test]
    fn limits_of_the_first_version_count_where_it_is_in_use() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("memory/docker/id");
        fs::create_dir_all(&group).unwrap();
        let limit = |cgroup: &str| cgroup_limit(root.path(), cgroup);
        let lines = "12:cpu,cpuacct:/docker/id\n4:memory:/docker/id\n1:name=systemd:/x\n0::/x\n";
        assert_eq!(limit(lines), None);
        fs::write(root.path().join("memory/memory.limit_in_bytes"), "9223372036854771712\n")
            .unwrap();
        assert_eq!(limit(lines), Some(9_223_372_036_854_771_712));
        fs::write(group.join("memory.limit_in_bytes"), "5000\n").unwrap();
        assert_eq!(limit(lines), Some(5000));
        assert_eq!(limit("4:hugetlb,memory:/docker/id\n"), Some(5000));
        // A container without names of its own for groups sees that of the host, and its files at
        // the root.
        fs::write(root.path().join("memory/memory.limit_in_bytes"), "6000\n").unwrap();
        assert_eq!(limit("4:memory:/kubepods/other\n"), Some(6000));
        assert_eq!(limit("4:hugetlb:/docker/id\n"), None);
        // Of both versions at once the lower limit counts.
        fs::create_dir_all(root.path().join("x")).unwrap();
        fs::write(root.path().join("x/memory.max"), "4000\n").unwrap();
        assert_eq!(limit(lines), Some(4000));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_some_of_what_there_is() {
        let (used, available) = (memory_used().unwrap(), memory_available().unwrap());
        assert!((1 << 20..available).contains(&used), "{used} of {available}");
        let (open, max) = (open_files().unwrap(), open_files_max().unwrap_or(u64::MAX));
        assert!((3..=max).contains(&open), "{open} of {max}");
        assert!(disk_free(Path::new(".")).unwrap() > 0);
        assert!(disk_free(Path::new("no/such/directory")).is_err());
    }
}
