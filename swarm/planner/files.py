"""Which files of a repository say something to a planner, and which it must never be shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

MANIFESTS = (
    *("pyproject.toml", "setup.cfg", "requirements.txt", "package.json", "Cargo.toml", "go.mod"),
    *("Makefile", "justfile", "pom.xml", "build.gradle", "build.gradle.kts", "settings.gradle"),
    *("CMakeLists.txt", "meson.build", "composer.json", "Gemfile", "mix.exs", "Package.swift"),
    *("build.sbt", "deno.json", "tsconfig.json", "Dockerfile", "tox.ini", "noxfile.py"),
    *("dune-project", "stack.yaml", "pubspec.yaml", "flake.nix", "WORKSPACE", "MODULE.bazel"),
)
GUIDANCE = ("AGENTS.md", "CLAUDE.md", "CONTRIBUTING.md", ".github/CONTRIBUTING.md")
CI = (".gitlab-ci.yml", ".travis.yml", "azure-pipelines.yml", ".circleci/config.yml", "Jenkinsfile")
CI_FOLDER = ".github/workflows/"

VENDORED = frozenset(
    {
        *("node_modules", "vendor", "third_party", "third-party", "bower_components", "Pods"),
        *("site-packages", "venv", ".venv", "virtualenv", "jspm_packages"),
    }
)
GENERATED = frozenset(
    {
        *("dist", "build", "target", "out", "coverage", "htmlcov", "__pycache__", "generated"),
        *("__generated__", "gen", ".next", ".nuxt", "__snapshots__", ".terraform"),
    }
)
_BINARY = """7z a avi bin bmp bz2 class dll doc docx dylib eot exe flac gif gz ico jar jpeg jpg mkv
    mov mp3 mp4 o ogg otf pdf png ppt pptx psd pyc so sqlite tar tgz tif tiff ttf wasm wav webm webp
    woff woff2 xls xlsx xz zip zst parquet npy npz onnx pt safetensors"""
BINARY = frozenset(_BINARY.split())
_LANGUAGES = """Python:py,pyi,pyx JavaScript:js,jsx,mjs,cjs TypeScript:ts,tsx,mts Rust:rs Go:go
    Java:java Kotlin:kt,kts Scala:scala C:c,h C++:cc,cpp,cxx,hpp,hh C#:cs F#:fs Swift:swift
    Objective-C:m,mm Ruby:rb PHP:php Perl:pl,pm Lua:lua R:r Julia:jl Haskell:hs OCaml:ml,mli
    Elixir:ex,exs Erlang:erl,hrl Clojure:clj,cljs Dart:dart Zig:zig Nim:nim Shell:sh,bash,zsh
    PowerShell:ps1 SQL:sql HTML:html,htm CSS:css Sass:scss,sass Vue:vue Svelte:svelte
    Markdown:md,mdx reStructuredText:rst YAML:yml,yaml TOML:toml JSON:json XML:xml
    Protobuf:proto GraphQL:graphql,gql Terraform:tf Nix:nix Jupyter:ipynb TeX:tex"""
LANGUAGE_OF = {
    extension: name
    for name, _, extensions in (each.partition(":") for each in _LANGUAGES.split())
    for extension in extensions.split(",")
}
_SECRET = re.compile(
    r"(?i)(^\.env($|\.)|\.env$|\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk|asc|gpg|tfvars|tfstate)$"
    r"|^id_(rsa|dsa|ecdsa|ed25519)|credential|secret|passw(or)?d|^\.(netrc|npmrc|pypirc|pgpass"
    r"|htpasswd|dockercfg|git-credentials)$|^(auth|token)s?\.json$|service[-_]?account.*\.json$)"
)
_HARMLESS = re.compile(r"(?i)\.(example|sample|template|dist)$")


@dataclass(frozen=True, slots=True)
class TrackedFile:
    """A file at a commit: its path, the id of its content, its size in bytes and git's mode."""

    path: str
    blob: str
    size: int
    mode: str

    @property
    def is_plain(self) -> bool:
        """Whether it is a file proper: no link that leads elsewhere, no submodule."""
        return self.mode in {"100644", "100755"}

    @property
    def extension(self) -> str:
        """What follows the last dot of its name, in lower case; empty for none."""
        return PurePosixPath(self.path).suffix[1:].lower()


def looks_secret(path: str) -> bool:
    """Tell whether a file is by its name one that holds secrets; an example of one is not."""
    name = PurePosixPath(path).name
    return bool(_SECRET.search(name)) and not _HARMLESS.search(name)


def is_skipped(folder: str) -> bool:
    """Tell whether a folder's name says that nobody works on what is in it."""
    return folder in VENDORED or folder in GENERATED


def is_worked_on(file: TrackedFile) -> bool:
    """Tell whether a file is neither vendored nor generated nor binary."""
    folders = PurePosixPath(file.path).parts[:-1]
    return not any(map(is_skipped, folders)) and file.extension not in BINARY
