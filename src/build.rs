//! Links the unwinder into the program, so that it needs no library but libc's.
//!
//! Rust's standard library asks the linker for `libgcc_s`, a shared library that a bare root
//! directory does not have. Where GCC has the same code to link statically, a linker script of that
//! name is put before the shared one. Everywhere else nothing is done, and nothing breaks.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

#[allow(clippy::print_stdout, reason = "this is how cargo is told")]
fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    if let Some(directory) = put_linker_script() {
        println!("cargo::rustc-link-search=native={}", directory.display());
    }
}

/// Writes the script; gives back the directory that it is in.
fn put_linker_script() -> Option<PathBuf> {
    let is_glibc = env::var("CARGO_CFG_TARGET_ENV").ok()? == "gnu";
    // For another machine there is another compiler, and who knows what it is called.
    if !is_glibc || env::var("HOST").ok()? != env::var("TARGET").ok()? {
        return None;
    }
    let (unwinder, support) = (library("libgcc_eh.a")?, library("libgcc.a")?);
    let directory = PathBuf::from(env::var_os("OUT_DIR")?);
    let script = format!("INPUT({} {})\n", unwinder.display(), support.display());
    fs::write(directory.join("libgcc_s.so"), script).ok()?;
    Some(directory)
}

/// Where the C compiler has a library of its own.
fn library(name: &str) -> Option<PathBuf> {
    let output = Command::new("cc").arg(format!("-print-file-name={name}")).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    let path = Path::new(path.trim());
    // It repeats the name where it does not know the library.
    path.is_absolute().then(|| path.to_owned())
}
