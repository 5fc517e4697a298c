// The page of an exported file: the scenes whose answers were recorded.

import { start } from "./app.js";
import { Recorded } from "./recorded.js";
import * as diffusion from "./scenes/diffusion.js";
import * as field from "./scenes/field.js";
import * as langevin from "./scenes/langevin.js";

const recorded = await new Recorded().load();
start({ field, langevin, diffusion }, (onState) => {
  queueMicrotask(() => onState("open", "recorded"));
  return recorded;
});
