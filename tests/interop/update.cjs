// node update.cjs FOLDER URL TARGET...: one update with tuf-js and nothing of ours.
// FOLDER/metadata holds what is trusted, in the beginning a root; the targets come to FOLDER/targets.
"use strict";

const { Updater } = require("tuf-js");

async function update(folder, url, targets) {
  const updater = new Updater({
    metadataDir: `${folder}/metadata`,
    metadataBaseUrl: `${url}/metadata`,
    targetDir: `${folder}/targets`,
    targetBaseUrl: `${url}/targets`,
  });
  await updater.refresh();
  for (const path of targets) {
    const target = await updater.getTargetInfo(path);
    if (!target) throw new Error(`no role signs ${path}`);
    await updater.downloadTarget(target);
  }
}

const [folder, url, ...targets] = process.argv.slice(2);
update(folder, url, targets).catch((error) => {
  console.error(`${error.name}: ${error.message}`);
  process.exitCode = 1;
});
