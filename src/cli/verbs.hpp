#pragma once

#include "cli/commands.hpp"

namespace hull::cli {

/// Each does one verb and gives the exit code of the process; errors have been printed.
int cmd_run(const GlobalWords& global, const RunWords& words);
int cmd_create(const GlobalWords& global, const RunWords& words);
int cmd_exec(const GlobalWords& global, const ExecWords& words);
int cmd_start(const GlobalWords& global, const AttachWords& words);
int cmd_attach(const GlobalWords& global, const AttachWords& words);

int cmd_ps(const GlobalWords& global, const ListWords& words);
int cmd_logs(const GlobalWords& global, const LogsWords& words);
/// inspect, volume inspect
int cmd_inspect(const GlobalWords& global, const std::string& verb, const NamesWords& words);
/// stop, restart, kill, rm, wait, rename, rmi, volume rm, volume create,
/// container on-exit
int cmd_names(const GlobalWords& global, const std::string& verb, const NamesWords& words);

int cmd_images(const GlobalWords& global, const ListWords& words);
int cmd_export(const GlobalWords& global, const ExportWords& words);
int cmd_image_tool(const GlobalWords& global, const ImageToolWords& words);
int cmd_volumes(const GlobalWords& global, const ListWords& words);
int cmd_info(const GlobalWords& global, const FormatWords& words);
int cmd_df(const GlobalWords& global, const FormatWords& words);
int cmd_version(const FormatWords& words);

}  // namespace hull::cli
