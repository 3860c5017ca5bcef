# SPDX-License-Identifier: GPL-3.0-or-later
# A diamond of four derivations that needs nothing but /bin/sh: base, two that use it, and one that joins them.
{ salt ? "" }:
let
  step = name: inputs: script: derivation {
    inherit name inputs salt;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" "PATH=/bin:/usr/bin; ${script}" ];
  };
  base = step "demo-base" [ ] ''echo "fetching the water"; sleep 1; echo water > $out'';
  left = step "demo-left" [ base ] ''echo "turning the left wheel"; sleep 1; read w < $inputs; echo "left $w" > $out'';
  right = step "demo-right" [ base ] ''echo "turning the right wheel"; sleep 1; read w < $inputs; echo "right $w" > $out'';
in
step "demo-mill" [ left right ] ''echo "joining both"; for i in $inputs; do cat $i; done > $out; cat $out''
