//! `libra-bindgen IN.wasm FOLDER NAME`: writes `NAME_bg.wasm` and its JavaScript, `NAME.js`, into a folder.

use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, folder, name] = arguments.as_slice() else {
        eprintln!("Usage: libra-bindgen IN.wasm FOLDER NAME");
        return ExitCode::from(2);
    };
    // "web": a module that is given the compiled WebAssembly, as each platform has a way of its own to come by it.
    let made = Bindgen::new().input_path(input).out_name(name).web(true).map(|bindgen| {
        bindgen
            .typescript(false)
            // The platforms' entries pass the module; nobody looks for it beside the script.
            .omit_default_module_path(true)
            .remove_name_section(std::env::var_os("KEEP_NAMES").is_none())
            .remove_producers_section(true)
            .generate(folder)
    });
    match made {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) | Err(error) => {
            eprintln!("libra-bindgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}
