// The page of an exported file: the scenes whose answers were recorded.

import { start } from "./app.js";
import { Recorded } from "./recorded.js";
import * as density from "./scenes/density.js";
import * as diffusion from "./scenes/diffusion.js";
import * as field from "./scenes/field.js";
import * as images from "./scenes/images.js";
import * as langevin from "./scenes/langevin.js";
import * as learn from "./scenes/learn.js";
import * as posterior from "./scenes/posterior.js";
import * as table from "./scenes/table.js";

const recorded = await new Recorded().load();
const all = { field, langevin, diffusion, learn, density, images, table, posterior };
start(Object.fromEntries(Object.entries(all).filter(([name]) => name in recorded.values)), (onState) => {
  queueMicrotask(() => onState("open", "recorded"));
  return recorded;
});
