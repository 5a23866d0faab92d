"""A run as one zip file to hand on, and how a stranger's is taken in: nothing is executed, unpickled or trusted."""

from __future__ import annotations

import re
import secrets
import shutil
import stat
import zipfile
import zlib
from pathlib import Path

from core.errors import UserError
from core.files import replacing, sync_folder
from core.runs.checks import MAX_BYTES, check_folder
from core.runs.files import write_json
from core.runs.folders import check_name
from core.runs.schema import Manifest
from core.runs.store import Run

MAX_FILES = 20_000
MAX_DOCUMENT_BYTES = 256 << 20
"""Of one JSON file."""

_SHARED_FILES = re.compile(
    r"""(?:manifest|status|metrics)\.json
      | events\.jsonl
      | (?:predictions|images|projection|held_out)\.parquet
      | (?:embeddings|evidence)\.npz
      | tasks/\d{3}/(?:adapter|head)\.safetensors
      | tasks/\d{3}/(?:mixture|embeddings)\.npz
      | tasks/\d{3}/(?:gates|done)\.json
      | tasks/\d{3}/predictions\.parquet
      | answer\.safetensors
      | shared/\d{3}\.safetensors
      | (?:sprites|held_out)/\d{3}\.webp""",
    re.VERBOSE | re.ASCII,
)
_LEFT_OUT = re.compile(r"log\.txt|config\.toml|cancel|writer\.lock")
"""What a run folder may hold that concerns only the machine it was made on."""


def export_run(run: Run, path: Path) -> Path:
    """Write `run` as a zip file at `path`, replacing what was there; logs and machine paths stay behind.

    Raises UserError when the run has not begun, is still going, or the file cannot be written.
    """
    name = run.manifest.run
    if run.active:
        raise UserError(f"Run {run.name} is {run.status.state}: export it when it has ended, or cancel it first.")
    files = sorted(file for file in run.folder.rglob("*") if file.is_file() and not file.is_symlink())
    try:
        with replacing(path) as target, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                inside = file.relative_to(run.folder).as_posix()
                if _SHARED_FILES.fullmatch(inside):
                    archive.write(file, f"{name}/{inside}")
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another place with --to.") from None
    return path


def import_run(path: Path, runs: Path, name: str | None = None) -> Run:
    """Take the run in the zip file `path` into `runs`, under its own name or `name`: whole and checked, or not at all.

    Raises UserError when the file is no zip, holds anything but the files of one run, would unpack to too much, has a
    name that is taken, or any document or table in it is damaged or of a newer version.
    """
    beside = runs / f".import-{secrets.token_hex(6)}"
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path)
            _check_space(members, path, runs)
            runs.mkdir(parents=True, exist_ok=True)
            beside.mkdir()
            for inside, member in members.items():
                _unpack(archive, member, beside / inside)
        manifest = check_folder(beside)
        return _settle(beside, manifest, runs, name)
    except FileNotFoundError as error:
        raise UserError(f"There is no file at {error.filename or path}: check the path.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, IsADirectoryError) as error:
        raise UserError(f"{path} is not a whole zip file ({error}): export the run again.") from None
    except UserError as error:
        raise UserError(str(error).replace(str(beside), path.name).replace(beside.name, path.name)) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of the run by their place in its folder; the zip may hold that folder or only what is in it."""
    files = [member for member in archive.infolist() if not member.is_dir()]
    if len(files) > MAX_FILES:
        raise UserError(f"{path} holds {len(files)} files, more than the {MAX_FILES} a run can have.")
    top = _top_folder([member.filename for member in files])
    members: dict[str, zipfile.ZipInfo] = {}
    for member in files:
        inside = member.filename.removeprefix(top)
        if _LEFT_OUT.fullmatch(inside):
            continue
        if not _SHARED_FILES.fullmatch(inside) or inside in members or not _is_plain(member):
            raise UserError(f"{path} is not a run: it holds {member.filename[:80]!r}, which no exported run has.")
        if inside.endswith((".json", ".jsonl")) and member.file_size > MAX_DOCUMENT_BYTES:
            raise UserError(f"{path} is not a run: {inside} in it is {member.file_size:,} bytes long.")
        members[inside] = member
    if "manifest.json" not in members:
        raise UserError(f"{path} is not a run: it holds no manifest.json. Make one with `python -m core export RUN`.")
    return members


def _top_folder(names: list[str]) -> str:
    tops = {name.partition("/")[0] for name in names if "/" in name}
    only = next(iter(tops)) if len(tops) == 1 else ""
    return f"{only}/" if only and all(name.startswith(f"{only}/") for name in names) else ""


def _is_plain(member: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(member.external_attr >> 16)
    packed = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    return packed and kind in (0, stat.S_IFREG) and not member.flag_bits & 1  # bit 0: encrypted


def _check_space(members: dict[str, zipfile.ZipInfo], path: Path, runs: Path) -> None:
    total = sum(member.file_size for member in members.values())
    if total > MAX_BYTES:
        raise UserError(f"{path} would unpack to {total / 1e9:.1f} GB, more than the {MAX_BYTES / 1e9:.1f} GB allowed.")
    place = next(folder for folder in [runs, *runs.absolute().parents] if folder.exists())
    free = shutil.disk_usage(place).free
    if total > free:
        raise UserError(f"{path} unpacks to {total / 1e6:.0f} MB and {runs} has {free / 1e6:.0f} MB free: make space.")


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Copy one file; zipfile stops at the size that the archive's directory states, and verifies the checksum."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)


def _settle(beside: Path, manifest: Manifest, runs: Path, name: str | None) -> Run:
    """Move the checked folder to its place."""
    name = check_name(name or manifest.run)
    if (runs / name).exists():
        raise UserError(f"A run named {name} is already in {runs}: import it under another name with --name.")
    write_json(beside / "manifest.json", manifest.model_dump(mode="json") | {"run": name})
    # The process that it names belongs to another machine.
    status = Run(beside).status
    told = {"pid": None, "pid_started": None, "message": status.message.replace(beside.name, name)}
    write_json(beside / "status.json", status.model_dump() | told)
    try:
        beside.rename(runs / name)
    except OSError as error:  # somebody took the name just now
        raise UserError(f"A run named {name} cannot be put into {runs} ({error.strerror}): try again.") from None
    sync_folder(runs)
    return Run(runs / name)
