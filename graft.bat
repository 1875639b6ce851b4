@echo off
rem Starts Graft on Windows by a double click. Any fault stays on the screen until a key is pressed.
setlocal DisableDelayedExpansion
chcp 65001 >nul
set "PYTHONUTF8=1"
set "PYTHON="
py -3 -c "" >nul 2>&1 && set "PYTHON=py -3"
rem The Microsoft Store's stand-in for python fails here too, as it should.
if not defined PYTHON python -c "" >nul 2>&1 && set "PYTHON=python"
if not defined PYTHON (
    echo Graft needs Python 3.11 or newer. Install it from https://www.python.org/downloads/
    echo and tick "Add python.exe to PATH" while doing so.
    pause
    exit /b 1
)
%PYTHON% "%~dp0main.py" setup --level window
if errorlevel 1 (
    pause
    exit /b 1
)
start "" "%~dp0.venv\Scripts\pythonw.exe" "%~dp0main.py" %*
