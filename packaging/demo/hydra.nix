# SPDX-License-Identifier: GPL-3.0-or-later
# The jobs of a small Hydra jobset. They need nothing but /bin/sh: a mill over two wheels and a shared base, a release
# with products and metrics, a failure and what depends on it.
{ salt ? "" }:
let
  step = name: script: more: derivation ({
    inherit name salt;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" "PATH=/bin:/usr/bin; ${script}" ];
  } // more);
  base = step "demo-base" ''echo "fetching the water"; sleep 1; echo water > $out'' { };
  wheel = side: step "demo-${side}" ''echo "turning the ${side} wheel"; sleep 1; cat $base > $out'' { inherit base; };
in rec {
  mill = step "demo-mill" ''echo "joining both"; sleep 1; cat $left $right > $out'' {
    left = wheel "left"; right = wheel "right"; };
  release = step "demo-release" ''
    mkdir -p $out/nix-support; cat $mill > $out/flour.txt
    echo "file flour $out/flour.txt" > $out/nix-support/hydra-build-products
    echo "grind.time 3 s" > $out/nix-support/hydra-metrics
    echo demo-1.0 > $out/nix-support/hydra-release-name'' { inherit mill; };
  broken = step "demo-broken" ''echo "a cog breaks" >&2; exit 1'' { inherit base; };
  bakery = step "demo-bakery" ''cat $broken > $out'' { inherit broken; };
}
